"""The rows with the greatest and the least of something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

MOST_NAMED = 10


class Row(NamedTuple):
    """What names a row for a person."""

    id: str
    source: str
    ordinal: int
    description: str | None = None


class Extreme(NamedTuple):
    """A value, and the row that has it."""

    value: float
    row: Row


class Extremes:
    """Keeps some rows at either end.

    Args:
        most: How many at each.
    """

    def __init__(self, most: int = MOST_NAMED) -> None:
        self._most = most
        self._least: list[Extreme] = []
        self._greatest: list[Extreme] = []

    def add(self, values: np.ndarray[Any, Any], name: Callable[[int], Row]) -> None:
        """Takes note of rows.

        Args:
            values: Array of shape (n,).
            name: Tells what names a row, by its number among the n.
        """
        order = np.argsort(values, kind="stable")
        least, greatest = (
            [Extreme(float(values[row]), name(int(row))) for row in rows]
            for rows in (order[: self._most], order[::-1][: self._most])
        )
        self._least = sorted([*self._least, *least])[: self._most]
        self._greatest = sorted([*self._greatest, *greatest], reverse=True)[: self._most]

    def all(self) -> list[Extreme]:
        """Returns the rows at both ends, the least first; each once."""
        return sorted({*self._least, *self._greatest})
