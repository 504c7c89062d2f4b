from __future__ import annotations

import numpy as np
import torch
from torch import nn

from transforms.esm.known_vectors import MIN_BYTES, KnownVectors, affordable_bytes


def vector(value: float) -> np.ndarray:
    return np.full(25, value, np.float32)  # 100 bytes, 300 for the entry, and the residues


def test_a_vector_is_known_by_its_sequence() -> None:
    known = KnownVectors()
    known.keep("ACD", vector(1))
    np.testing.assert_array_equal(known.get("ACD"), vector(1))
    assert known.get("ACDE") is None


def test_there_is_a_bound() -> None:
    known = KnownVectors(max_bytes=3 * 401)
    for number, sequence in enumerate("ACDE"):
        known.keep(sequence, vector(number))
        known.keep(sequence, vector(number))
    assert [known.get(sequence) is not None for sequence in "ACDE"] == [False, True, True, True]


def test_a_row_does_not_keep_the_matrix_of_its_pass() -> None:
    known = KnownVectors()
    known.keep("ACD", np.ones((1000, 25), np.float32)[0])
    kept = known.get("ACD")
    assert kept.base is None


def test_a_large_model_affords_more() -> None:
    assert affordable_bytes(nn.Linear(10, 10)) == MIN_BYTES
    large = nn.Module()
    large.register_buffer("weights", torch.empty(300 << 20, dtype=torch.float16))
    assert affordable_bytes(large) == (600 << 20) // 16
