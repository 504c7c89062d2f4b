"""Vectors of sequences that were computed before: identical ones are common, and far apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transforms.arrays import Vector
from transforms.recent import Recent

if TYPE_CHECKING:
    from torch import nn


MIN_BYTES = 32 << 20
MODELS_SHARE = 16
"""A sixteenth of what the weights take: 14,000 vectors of a 650M model in half precision."""

_ENTRY_BYTES = 300  # of an entry besides its values and residues


def affordable_bytes(model: nn.Module) -> int:
    """Returns what may be kept beside a model: little against what it takes itself."""
    return affordable_beside(sum(each.nbytes for each in (*model.parameters(), *model.buffers())))


def affordable_beside(weights: int) -> int:
    """Returns what may be kept beside weights of so many bytes."""
    return max(MIN_BYTES, weights // MODELS_SHARE)


def kept_bytes(sequence: str, vector_bytes: int) -> int:
    """Returns what it takes to keep a vector of so many bytes."""
    return len(sequence) + vector_bytes + _ENTRY_BYTES


class KnownVectors(Recent[Vector]):
    """Keeps the vectors that were used last, by their sequences, up to a bound of memory."""

    def __init__(self, max_bytes: int = MIN_BYTES) -> None:
        super().__init__(max_bytes)

    def keep(self, sequence: str, vector: Vector) -> None:
        """Keeps a copy of a vector, in place of those that were not used for longest."""
        if sequence not in self:
            # A copy, since a row would keep the matrix of its pass.
            self.add(sequence, vector.copy(), kept_bytes(sequence, vector.nbytes))
