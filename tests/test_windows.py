from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.model_helpers import load_reference
from transforms.esm.bisection import Failure
from transforms.esm.encoder import pack_encoder
from transforms.esm.encoding import encode
from transforms.esm.pass_budget import PassBudget
from transforms.esm.passes import embed_passes
from transforms.esm.windows import cut_windows

lengths = st.integers(1, 500)
sizes = st.integers(1, 120)


@given(lengths, sizes)
def test_every_residue_counts_once_and_is_seen(length: int, size: int) -> None:
    windows = cut_windows(length, size)
    counted = [i for window in windows for i in range(window.first, window.last)]
    assert counted == list(range(length))
    for window in windows:
        assert window.start <= window.first < window.last <= window.stop
        assert window.stop - window.start == min(size, length)


@given(lengths, sizes)
def test_neighbours_overlap_by_a_quarter_or_more(length: int, size: int) -> None:
    for one, other in pairwise(cut_windows(length, size)):
        assert one.stop - other.start >= size // 4
        # The residue at the edge lies as deep in the one as in the other.
        assert abs((one.stop - one.last) - (other.first - other.start)) <= 1


def test_a_sequence_that_fits_is_one_window() -> None:
    (window,) = cut_windows(1024, 1024)
    assert (window.start, window.stop, window.first, window.last) == (0, 1024, 0, 1024)
    assert len(cut_windows(1025, 1024)) == 2


def random_sequence(length: int) -> str:
    return "".join(np.random.default_rng(length).choice(list("ACDEFGHIKLMNPQRSTVWY"), length))


def embed(model: nn.Module, sequences: list[str], toks: int, size: int) -> dict[str, object]:
    passes = embed_passes(model, sequences, PassBudget(toks), size)
    return {s: v for done in passes for s, v in done.items()}


@pytest.mark.parametrize("toks_per_batch", [100, 5000])
@pytest.mark.parametrize("packed", [True, False])
def test_windows_equal_a_plain_float64_computation(
    packed: bool, toks_per_batch: int, tiny_checkpoint: object
) -> None:
    model: nn.Module = load_reference(tiny_checkpoint)
    if packed:
        model = pack_encoder(model)
    sequences = [random_sequence(n) for n in (5, 64, 65, 1000, 70_000 // 10)]
    found = embed(model, sequences, toks_per_batch, 64)
    assert found.keys() == set(sequences)
    exact = load_reference(tiny_checkpoint).double()
    for sequence in sequences:
        total = np.zeros(32)
        for window in cut_windows(len(sequence), 64):
            ids = torch.from_numpy(encode(sequence[window.start : window.stop]))[None]
            with torch.inference_mode():
                hidden = exact(input_ids=ids, attention_mask=torch.ones_like(ids))
            kept = slice(1 + window.first - window.start, 1 + window.last - window.start)
            total += hidden.last_hidden_state[0, kept].sum(0).numpy()
        expected = total / len(sequence)
        scale = np.sqrt((expected**2).mean())
        assert np.abs(np.asarray(found[sequence]) - expected).max() / scale < 1e-5


class FailsOnTryptophan(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> object:
        if (input_ids == 22).any():
            raise ValueError("a tryptophan")
        return self.model(input_ids=input_ids, attention_mask=attention_mask)


def test_one_failing_window_fails_its_sequence_alone(tiny_checkpoint: object) -> None:
    model = FailsOnTryptophan(load_reference(tiny_checkpoint))
    good, bad = "A" * 300, "A" * 150 + "W" + "A" * 149
    found = embed(model, [good, bad], 1000, 64)
    assert isinstance(found[good], np.ndarray)
    assert isinstance(found[bad], Failure)
    assert found[bad].message == "a tryptophan"
