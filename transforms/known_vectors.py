"""Vectors of sequences that were computed before: identical ones are common, and far apart."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any

import numpy as np
from torch import nn

Vector = np.ndarray[Any, np.dtype[np.float32]]

MIN_BYTES = 32 << 20
MODELS_SHARE = 16
"""A sixteenth of what the weights take: 15,000 vectors of a 650M model in half precision."""

_ENTRY_BYTES = 300  # of an entry besides its values


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
        self._vectors: OrderedDict[bytes, Vector] = OrderedDict()

    def get(self, sequence: str) -> Vector | None:
        """Returns the vector of a sequence, or None."""
        key = _key(sequence)
        vector = self._vectors.get(key)
        if vector is not None:
            self._vectors.move_to_end(key)
        return vector

    def add(self, sequence: str, vector: Vector) -> None:
        """Keeps a copy of a vector, in place of those that were not used for longest."""
        key = _key(sequence)
        if key in self._vectors:
            return
        # A copy, since a row would keep the matrix of its pass.
        self._vectors[key] = vector.copy()
        self._bytes += vector.nbytes + _ENTRY_BYTES
        while self._bytes > self._max_bytes:
            _, dropped = self._vectors.popitem(last=False)
            self._bytes -= dropped.nbytes + _ENTRY_BYTES


def _key(sequence: str) -> bytes:
    return hashlib.sha256(sequence.encode()).digest()
