"""Values counted as they go by, in little memory and whatever their range."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from transforms.arrays import Doubles, Integers

# Of the 23 bits of a float32 after the leading one, 14 are kept.
_BITS_DROPPED = 9


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """A histogram to be drawn.

    Attributes:
        edges: float64 array of shape (n + 1,), all of one width.
        counts: int64 array of shape (n,), how many values lie between two edges.
        below: How many lie before the first edge.
        above: How many lie after the last one.
    """

    edges: Doubles
    counts: Integers
    below: int
    above: int


class Histogram:
    """Counts of values that are not negative.

    A bin is as wide as a 16,384th of a power of two, as in HdrHistogram: whole numbers up to 32,768
    are told apart, and any other value is known to 0.01 %. So the bins that are held are few, also
    of a hundred million values.
    """

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, values: np.ndarray[Any, Any]) -> None:
        """Counts the values of an array of shape (n,), finite and not negative."""
        # What is more, as the norm of a finite vector may be, counts as the largest.
        held = np.minimum(values, np.finfo(np.float32).max).astype(np.float32)
        bits = held.view(np.int32) >> _BITS_DROPPED
        bins, counts = np.unique(bits, return_counts=True)
        self._counts.update(dict(zip(bins.tolist(), counts.tolist(), strict=True)))

    @property
    def total(self) -> int:
        """Returns how many values were counted."""
        return self._counts.total()

    def values(self) -> tuple[Doubles, Integers]:
        """Returns the lower edges of the bins that hold something, ascending, and their counts."""
        bins = np.array(sorted(self._counts), np.int32)
        edges = (bins << _BITS_DROPPED).view(np.float32).astype(np.float64)
        return edges, np.array([self._counts[key] for key in bins.tolist()], np.int64)

    def quantile(self, share: float) -> float:
        """Returns the least value that is not below a share of all; NaN where there is none."""
        values, counts = self.values()
        return weighted_quantile(values, counts, share)

    def bars(self, most: int, tail: float, are_whole: bool = False) -> Bars:
        """Returns the counts in at most so many bars of one width.

        Args:
            most: How many bars there are at the most.
            tail: The share of values that may lie beyond either end, where to draw them would
                squeeze the others into less than half of the bars; what lies there is counted.
            are_whole: Whether values are whole numbers, as many of which belong to each bar.
        """
        values, counts = self.values()
        if not len(values):
            return Bars(np.zeros(1), np.zeros(0, np.int64), 0, 0)
        low, high = self.quantile(tail), self.quantile(1 - tail)
        if values[-1] - values[0] <= 2 * (high - low):
            low, high = float(values[0]), float(values[-1])
        if are_whole:
            width = max(np.ceil((high - low + 1) / most), 1.0)
            edges = low + width * np.arange(np.ceil((high - low + 1) / width) + 1)
        else:
            high = high if high > low else low + max(abs(low) * 0.01, 1e-9)
            edges = np.linspace(low, high, most + 1)
        held, _ = np.histogram(values, edges, weights=counts)
        below, above = counts[values < edges[0]].sum(), counts[values > edges[-1]].sum()
        return Bars(edges, held, int(below), int(above))


def weighted_quantile(values: Doubles, counts: Integers, share: float) -> float:
    """Returns the least value that is not below a share of all; NaN where there is none.

    Args:
        values: Array of shape (n,), in any order.
        counts: How often each of them is there.
        share: From 0 to 1.
    """
    if not len(values):
        return float("nan")
    return float(np.quantile(values, share, weights=counts, method="inverted_cdf"))
