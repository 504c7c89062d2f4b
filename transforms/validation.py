"""The last look at vectors before they are kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import apache_beam as beam
import numpy as np

from transforms.arrays import Vector, Vectors
from transforms.dead_letters import record_failed
from transforms.items import EmbeddingBlock, Item
from transforms.passing import ActOnKinds, act_on_kinds


def find_fault(vector: Vector) -> tuple[str, str] | None:
    """Returns error type and sentence of what is wrong with a vector of shape (D,), or None."""
    if np.isnan(vector).any():
        return "nan", f"{np.isnan(vector).sum()} of {vector.size} values are NaN"
    if np.isinf(vector).any():
        return "inf", f"{np.isinf(vector).sum()} of {vector.size} values are infinite"
    if not vector.any():
        return "all_zero", "all values are zero"
    return None


def find_faults(vectors: Vectors) -> Iterator[tuple[int, tuple[str, str]]]:
    """Yields each row of a matrix, (n, D), that is at fault, and what :func:`find_fault` says."""
    # One sum a row finds NaN and Inf; only suspects are looked at closely.
    with np.errstate(over="ignore", invalid="ignore"):
        suspects = ~np.isfinite(vectors.sum(axis=1)) | ~vectors.any(axis=1)
    for row in np.flatnonzero(suspects).tolist():
        if fault := find_fault(vectors[row]):
            yield row, fault


def validate(block: EmbeddingBlock, dim: int | None) -> list[Item]:
    """Splits a block into the block of good vectors and a dead letter for each bad one.

    Args:
        block: Proteins and vectors.
        dim: Width that the vectors must have; None for any.

    Returns:
        The good block, unless it is empty, and the dead letters.
    """
    width = block.vectors.shape[1]
    if dim is not None and width != dim:
        message = f"the vector has {width} values, not {dim}"
        return [record_failed(p, "validate", "wrong_dimension", message) for p in block.proteins]
    faults = dict(find_faults(block.vectors))
    if not faults:
        return [block]
    good = [row for row in range(len(block)) if row not in faults]
    dead: list[Item] = [
        record_failed(block.proteins[row], "validate", *fault) for row, fault in faults.items()
    ]
    if not good:
        return dead
    kept = EmbeddingBlock(tuple(block.proteins[row] for row in good), block.vectors[good])
    return [kept, *dead]


class _ValidateDoFn(ActOnKinds):
    kinds = (EmbeddingBlock,)

    def __init__(self, dim: int | None) -> None:
        self._dim = dim

    def act(self, item: EmbeddingBlock) -> Iterable[Item]:  # type: ignore[override]
        return validate(item, self._dim)


@dataclass
class ValidateEmbeddings(beam.PTransform):  # type: ignore[misc]
    """Turns every vector of the wrong width, with NaN or Inf, or all zero into a dead letter.

    Attributes:
        dim: Width D that vectors must have, 1280 for FastESM2_650; None for any.
    """

    dim: int | None = None

    def expand(self, items: beam.PCollection[Item]) -> beam.PCollection[Item]:
        """Applies the step."""
        return items | act_on_kinds(_ValidateDoFn(self.dim))
