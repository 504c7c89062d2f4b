"""How near the rows of a sample are to each other, and whether those that belong together are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from transforms.neighbours import Block, nearest
from transforms.parquet import Vectors

FEWEST = 2


@dataclass(frozen=True, slots=True, eq=False)
class Closeness:
    """The nearest other row of each.

    Attributes:
        neighbours: int64 array of shape (n,), which row that is.
        cosines: float64 array of shape (n,).
    """

    neighbours: np.ndarray[Any, np.dtype[np.int64]]
    cosines: np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often the nearest other row is of the same group.

    Attributes:
        rows: How many rows have another one of their group; only these count.
        agreeing: Of how many of them the nearest is.
        by_chance: What share of them would if neighbours were drawn.
    """

    rows: int
    agreeing: int
    by_chance: float


def find_closest(vectors: Vectors) -> Closeness | None:
    """Finds the nearest other row of each by cosine; None where there are no two.

    Args:
        vectors: Array of shape (n, D), without NaN and infinity.
    """
    count = len(vectors)
    if count < FEWEST:
        return None
    keys = np.arange(count)[:, None]
    found = nearest(vectors, [Block(vectors, keys)], 2)
    # Of rows that are all the same the two found may both be others.
    others = [0 if each.keys[0, 0] != row else 1 for row, each in enumerate(found)]
    pairs = list(zip(found, others, strict=True))
    return Closeness(
        np.array([each.keys[other, 0] for each, other in pairs]),
        np.array([each.cosines[other] for each, other in pairs]),
    )


def agree(closeness: Closeness, groups: Sequence[str | None]) -> Agreement:
    """Counts the rows whose nearest other row is of their group (precision at 1).

    Args:
        closeness: Of n rows.
        groups: The group of each; None for none.
    """
    sizes = Counter(group for group in groups if group is not None)
    counting = [row for row, group in enumerate(groups) if group is not None and sizes[group] > 1]
    agreeing = sum(groups[closeness.neighbours[row]] == groups[row] for row in counting)
    chances = [(sizes[groups[row]] - 1) / (len(groups) - 1) for row in counting]
    return Agreement(len(counting), agreeing, sum(chances) / len(chances) if chances else 0.0)
