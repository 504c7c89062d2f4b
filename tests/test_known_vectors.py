from __future__ import annotations

import numpy as np
import torch
from torch import nn

from transforms.esm.known_vectors import MIN_BYTES, KnownVectors, affordable_bytes


def vector(value: float) -> np.ndarray:
    return np.full(25, value, np.float32)  # 100 bytes, 300 for the entry, and the residues


def test_a_vector_is_known_by_its_sequence() -> None:
    known = KnownVectors()
    known.add("ACD", vector(1))
    np.testing.assert_array_equal(known.get("ACD"), vector(1))
    assert known.get("ACDE") is None


def test_what_was_used_last_is_kept() -> None:
    known = KnownVectors(max_bytes=3 * 401)
    for number, sequence in enumerate(("A", "C", "D")):
        known.add(sequence, vector(number))
    assert known.get("A") is not None
    known.add("E", vector(4))
    assert known.get("C") is None
    assert [known.get(s) is not None for s in ("A", "D", "E")] == [True] * 3


def test_a_row_does_not_keep_the_matrix_of_its_pass() -> None:
    known = KnownVectors()
    known.add("ACD", np.ones((1000, 25), np.float32)[0])
    kept = known.get("ACD")
    assert kept.base is None


def test_adding_again_counts_once() -> None:
    known = KnownVectors(max_bytes=2 * 401)
    known.add("A", vector(1))
    for _ in range(5):
        known.add("C", vector(2))
    assert known.get("A") is not None


def test_a_large_model_affords_more() -> None:
    assert affordable_bytes(nn.Linear(10, 10)) == MIN_BYTES
    large = nn.Module()
    large.register_buffer("weights", torch.empty(300 << 20, dtype=torch.float16))
    assert affordable_bytes(large) == (600 << 20) // 16
