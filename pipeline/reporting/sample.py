"""Some rows of an output, of which everything is known: those that a map can show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from transforms.arrays import Integers, Vectors

_SEED = 0


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Some rows.

    Attributes:
        table: Their columns.
        vectors: float32 array of shape (n, D).
    """

    table: pa.Table
    vectors: Vectors

    def __len__(self) -> int:
        """Returns n."""
        return len(self.vectors)

    def column(self, name: str) -> list[Any]:
        """Returns a column as Python values."""
        values: list[Any] = self.table.column(name).to_pylist()
        return values


def choose_places(rows: int, most: int) -> Integers:
    """Draws rows, each as likely as any other; the same ones every time.

    Returns:
        int64 array of their numbers, ascending.
    """
    if rows <= most:
        return np.arange(rows)
    # Which of them are drawn needs memory for as many as are, not for all.
    drawn = np.random.default_rng(_SEED).choice(rows, most, replace=False, shuffle=False)
    return np.sort(drawn.astype(np.int64))


class Sampler:
    """Takes the rows of a sample as all rows go by.

    Args:
        places: Numbers of the rows that are wanted, ascending.
        columns: What is wanted of them.
        dim: Width of the vectors.
    """

    def __init__(self, places: Integers, columns: Sequence[str], dim: int) -> None:
        self._places = places
        self._columns = list(columns)
        self._passed = 0
        self._tables: list[pa.Table] = []
        self._vectors: list[Vectors] = [np.zeros((0, dim), np.float32)]

    def add(self, table: pa.Table, vectors: Vectors, are_good: np.ndarray[Any, Any]) -> None:
        """Takes what is wanted of the next rows.

        Args:
            table: Columns of n rows.
            vectors: Array of shape (n, D).
            are_good: bool array of shape (n,); others are left out.
        """
        first, last = np.searchsorted(self._places, [self._passed, self._passed + len(table)])
        here = self._places[first:last] - self._passed
        here = here[are_good[here]]
        self._passed += len(table)
        self._tables.append(table.select(self._columns).take(pa.array(here)))
        self._vectors.append(vectors[here])

    def result(self) -> Sample:
        """Returns the sample."""
        empty = pa.table({name: pa.array([], pa.string()) for name in self._columns})
        tables = self._tables or [empty]
        return Sample(pa.concat_tables(tables).combine_chunks(), np.concatenate(self._vectors))
