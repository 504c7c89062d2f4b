"""The nearest rows to some vectors by cosine, exactly, over blocks that are never held together.

A product in float32 tells which rows of a block can be among the nearest at all: those that come
as near to the limit as its rounding may err. Only of these the cosine is computed in float64, each
by itself, so that equal vectors have equal cosines wherever they lie.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from transforms.arrays import Doubles, Integers, Vectors

DECIMALS = 9
"""Cosines are rounded to so many: in float32, what the same protein gets among other batch mates
differs below that."""

_QUERIES_AT_ONCE = 256  # of which the scores with a block are held


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Some rows.

    Attributes:
        vectors: float32 array of shape (n, D).
        keys: int64 array of shape (n, K), which names each row. Of rows with equal cosines the one
            with the smaller key comes first, its columns compared from the left.
    """

    vectors: Vectors
    keys: Integers


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The rows that are nearest to one vector, the nearest first.

    Attributes:
        cosines: float64 array of shape (k,), from -1 to 1.
        keys: int64 array of shape (k, K).
    """

    cosines: Doubles
    keys: Integers


def nearest(queries: Vectors, blocks: Iterable[Block], top: int) -> list[Neighbours]:
    """Finds the nearest rows to each of some vectors.

    Held are the vectors that are searched with, in float64, ``top`` neighbours of each, and one
    block with a normalised copy.

    Args:
        queries: Array of shape (Q, D).
        blocks: The rows that are searched, in any order; consumed once.
        top: How many are wanted.

    Returns:
        For each vector its ``top`` nearest rows; fewer where there are fewer. A vector that is all
        zero has the cosine 0 with every other.

    Raises:
        ValueError: A vector holds NaN or infinity.
    """
    if not len(queries):
        return []
    exact = queries.astype(np.float64)
    exact /= _norms(exact)[:, None]
    coarse = exact.astype(np.float32)
    margin = _margin(queries.shape[1])
    found: list[Neighbours | None] = [None] * len(queries)
    for block in blocks:
        norms = _norms(block.vectors)
        units = block.vectors * (1 / norms).astype(np.float32)[:, None]
        for start in range(0, len(queries), _QUERIES_AT_ONCE):
            scores = coarse[start : start + _QUERIES_AT_ONCE] @ units.T
            for query, row in enumerate(scores, start):
                held = found[query]
                rows = _candidates(row, held, top, margin)
                if len(rows) or held is None:
                    cosines = _cosines(exact[query], block.vectors[rows], norms[rows])
                    found[query] = _merge(held, cosines, block.keys[rows], top)
        del block, units  # before there is another one
    return [_NOTHING if held is None else held for held in found]


_NOTHING = Neighbours(np.zeros(0), np.zeros((0, 0), np.int64))


def _norms(vectors: Vectors | Doubles) -> Doubles:
    norms: Doubles = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))
    if not np.isfinite(norms).all():
        raise ValueError("a vector holds NaN or infinity")
    return np.where(norms == 0, 1.0, norms)


def _margin(dim: int) -> float:
    """Returns how far below the limit a float32 score may lie of a row that belongs to the nearest.

    Score and limit may err each by the bound of a dot product of unit vectors that were rounded
    themselves, as was what they are compared with.
    """
    unit_roundoff = float(np.finfo(np.float32).eps) / 2
    return 2 * (dim + 8) * unit_roundoff + 2 * 10.0**-DECIMALS


def _candidates(scores: Vectors, held: Neighbours | None, top: int, margin: float) -> Integers:
    """Returns the rows of a block that may be among the nearest."""
    is_full = held is not None and len(held.cosines) == top
    limit = held.cosines[-1] if held is not None and is_full else -np.inf
    rows = np.flatnonzero(scores >= limit - margin)
    if len(rows) > top:
        among = scores[rows]
        rows = rows[among >= np.partition(among, -top)[-top] - margin]
    return rows


def _cosines(query: Doubles, vectors: Vectors, norms: Doubles) -> Doubles:
    """Returns the cosines of a unit vector (D,) with vectors (n, D), each summed by itself."""
    cosines = (vectors.astype(np.float64) * query).sum(axis=1) / norms
    rounded: Doubles = np.round(cosines, DECIMALS) + 0.0  # no -0
    return np.clip(rounded, -1, 1)


def _merge(held: Neighbours | None, cosines: Doubles, keys: Integers, top: int) -> Neighbours:
    if held is not None:
        cosines = np.concatenate([held.cosines, cosines])
        keys = np.concatenate([held.keys, keys])
    order = np.lexsort((*keys.T[::-1], -cosines))[:top]
    return Neighbours(cosines[order], keys[order])
