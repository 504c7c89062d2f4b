"""Vectors of sequences that were computed before: identical ones are common, and far apart."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
from torch import nn

Vector = np.ndarray[Any, np.dtype[np.float32]]

MIN_BYTES = 32 << 20
MODELS_SHARE = 16
"""A sixteenth of what the weights take: 14,000 vectors of a 650M model in half precision."""

_ENTRY_BYTES = 300  # of an entry besides its values and residues


def affordable_bytes(model: nn.Module) -> int:
    """Returns what may be kept beside a model: little against what it takes itself."""
    weights = sum(each.nbytes for each in (*model.parameters(), *model.buffers()))
    return max(MIN_BYTES, weights // MODELS_SHARE)


class KnownVectors:
    """Keeps the vectors that were used last, up to a bound.

    Not for several threads at once.

    Args:
        max_bytes: Memory that it may take.
    """

    def __init__(self, max_bytes: int = MIN_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._vectors: OrderedDict[str, Vector] = OrderedDict()

    def get(self, sequence: str) -> Vector | None:
        """Returns the vector of a sequence, or None."""
        vector = self._vectors.get(sequence)
        if vector is not None:
            self._vectors.move_to_end(sequence)
        return vector

    def add(self, sequence: str, vector: Vector) -> None:
        """Keeps a copy of a vector, in place of those that were not used for longest."""
        if sequence in self._vectors:
            return
        # A copy, since a row would keep the matrix of its pass.
        self._vectors[sequence] = vector.copy()
        self._bytes += _size(sequence, vector)
        while self._bytes > self._max_bytes:
            self._bytes -= _size(*self._vectors.popitem(last=False))


def _size(sequence: str, vector: Vector) -> int:
    return len(sequence) + vector.nbytes + _ENTRY_BYTES
