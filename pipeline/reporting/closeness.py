"""How near the rows of a sample are to each other, and whether those that belong together are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from transforms.arrays import Doubles, Integers, Vectors
from transforms.output.neighbours import Block, nearest

MOST_NEIGHBOURS = 14


@dataclass(frozen=True, slots=True, eq=False)
class Closeness:
    """The nearest other rows of each, the nearest first.

    Attributes:
        neighbours: int64 array of shape (n, k), which rows those are.
        cosines: float64 array of shape (n, k).
    """

    neighbours: Integers
    cosines: Doubles


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
    """Finds the nearest other rows of each by cosine, at most 14; None where there are no two.

    Args:
        vectors: Array of shape (n, D), without NaN and infinity.
    """
    count = len(vectors)
    if count < 2:
        return None
    most = min(MOST_NEIGHBOURS, count - 1)
    found = nearest(vectors, [Block(vectors, np.arange(count)[:, None])], most + 1)
    keys = np.stack([each.keys[:, 0] for each in found])
    # Each finds itself, unless there are so many of the same that it does not come to it.
    are_others = keys != np.arange(count)[:, None]
    are_others[are_others.all(axis=1), -1] = False
    cosines = np.stack([each.cosines for each in found])
    shape = (count, most)
    return Closeness(keys[are_others].reshape(shape), cosines[are_others].reshape(shape))


def agree(closeness: Closeness, groups: Sequence[str | None]) -> Agreement:
    """Counts the rows whose nearest other row is of their group (precision at 1)."""
    sizes = Counter(group for group in groups if group is not None)
    counting = [(row, group) for row, group in enumerate(groups) if group and sizes[group] > 1]
    agreeing = sum(groups[closeness.neighbours[row, 0]] == group for row, group in counting)
    chances = [(sizes[group] - 1) / (len(groups) - 1) for _, group in counting]
    return Agreement(len(counting), agreeing, sum(chances) / len(chances) if chances else 0.0)
