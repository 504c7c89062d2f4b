"""Mean and spread of each dimension, over vectors that go by block by block."""

from __future__ import annotations

from typing import Any

import numpy as np

from transforms.arrays import Doubles


class Moments:
    """Mean and variance of each of D numbers.

    Blocks are added by the formula of Chan, Golub and LeVeque (1979), which does not lose digits
    where the mean is large.

    Args:
        dim: D.

    Attributes:
        count: How many vectors there were.
        mean: float64 array of shape (D,).
    """

    def __init__(self, dim: int) -> None:
        self.count = 0
        self.mean: Doubles = np.zeros(dim)
        self._squares: Doubles = np.zeros(dim)

    def add(self, vectors: np.ndarray[Any, Any]) -> None:
        """Adds vectors, an array of shape (n, D)."""
        added = len(vectors)
        if not added:
            return
        mean = vectors.mean(axis=0, dtype=np.float64)
        squares = np.square(vectors - mean).sum(axis=0)
        total = self.count + added
        apart = mean - self.mean
        self._squares += squares + np.square(apart) * self.count * added / total
        self.mean += apart * added / total
        self.count = total

    @property
    def deviation(self) -> Doubles:
        """Returns the standard deviation of each, of the vectors as the whole population."""
        return np.sqrt(self._squares / max(self.count, 1))
