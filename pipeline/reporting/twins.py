"""Whether rows of the same sequence have the same vector."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from pipeline.reporting.extremes import Row
from transforms.arrays import Digests, Vectors
from transforms.output.neighbours import DECIMALS

MOST_SEQUENCES = 5_000

_GREATEST = (1 << 64) - 1

# What is promised of a vector among other batch mates, in float32 and in half precision.
_EXACT, _HALF = 1e-6, 1e-3


@dataclass(frozen=True, slots=True)
class Identical:
    """What was found.

    Attributes:
        sequences: How many different sequences were looked at.
        are_all: Whether these are all that the output holds.
        repeated: How many of them several rows have.
        rows: How many rows those are.
        distance: The greatest cosine distance of a row from the first one of its sequence.
        pair: Those two rows; None where all distances are 0.
    """

    sequences: int
    are_all: bool
    repeated: int
    rows: int
    distance: float
    pair: tuple[Row, Row] | None


@dataclass(slots=True)
class _First:
    """The first row of a sequence, and how many there are."""

    row: Row
    vector: Vectors
    rows: int = 1


class Twins:
    """Compares rows of the same sequence, as they go by.

    Held are the sequences with the smallest digests, of each the first row. Since the digest tells
    which, all rows of a sequence are compared or none is, and those are a fair sample (bottom-k
    sampling: Cohen and Kaplan, 2007).

    Args:
        most: How many sequences are held.
    """

    def __init__(self, most: int = MOST_SEQUENCES) -> None:
        self._most = most
        self._limit = _GREATEST
        self._held: dict[int, _First] = {}
        self._greatest: list[int] = []  # a heap, negated
        self._distance = 0.0
        self._pair: tuple[Row, Row] | None = None

    def add(self, digests: Digests, vectors: Vectors, name: Callable[[int], Row]) -> None:
        """Takes note of rows.

        Args:
            digests: uint64 array of shape (n,), the beginnings of their sequences' SHA-256.
            vectors: Array of shape (n, D).
            name: Tells what names a row, by its number among the n.
        """
        for row in np.flatnonzero(digests <= self._limit).tolist():
            digest = int(digests[row])
            if first := self._held.get(digest):
                first.rows += 1
                self._compare(first, vectors[row], partial(name, row))
            elif digest <= self._limit:
                self._hold(digest, _First(name(row), vectors[row].copy()))

    def _hold(self, digest: int, first: _First) -> None:
        self._held[digest] = first
        heapq.heappush(self._greatest, -digest)
        if len(self._held) > self._most:
            del self._held[-heapq.heappop(self._greatest)]
            self._limit = -self._greatest[0]

    def _compare(self, first: _First, vector: Vectors, row: Callable[[], Row]) -> None:
        if np.array_equal(first.vector, vector):
            return
        distance = cosine_distance(first.vector, vector)
        if distance > self._distance:
            self._distance, self._pair = distance, (first.row, row())

    def result(self) -> Identical:
        """Returns what was found."""
        repeated = [first.rows for first in self._held.values() if first.rows > 1]
        are_all = self._limit == _GREATEST
        return Identical(
            len(self._held), are_all, len(repeated), sum(repeated), self._distance, self._pair
        )


def cosine_distance(one: Vectors, other: Vectors) -> float:
    """Returns 1 minus the cosine of two vectors, computed in float64 and rounded as a search does.

    Vectors that differ and are both zero, or one of them, are 1 apart.
    """
    a, b = one.astype(np.float64), other.astype(np.float64)
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return max(round(1 - float(a @ b) / norms, DECIMALS), 0.0) if norms else 1.0


def tolerance(dtype: str) -> float:
    """Returns how far vectors of one sequence may be apart that were computed in two batches."""
    return _EXACT if dtype == "float32" else _HALF
