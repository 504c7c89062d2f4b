"""The types of arrays, by what they hold."""

from __future__ import annotations

from typing import Any

import numpy as np

Vector = np.ndarray[Any, np.dtype[np.float32]]
"""One embedding, of shape (D,)."""

Vectors = np.ndarray[Any, np.dtype[np.float32]]
"""Embeddings, of shape (n, D)."""

Integers = np.ndarray[Any, np.dtype[np.int64]]
"""Positions and counts."""

Digests = np.ndarray[Any, np.dtype[np.uint64]]
"""The first 64 bits of each of some SHA-256."""

Doubles = np.ndarray[Any, np.dtype[np.float64]]
"""What is computed from vectors."""

Flags = np.ndarray[Any, np.dtype[np.bool_]]
"""Whether something is so of each of some rows."""
