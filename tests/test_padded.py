from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from transforms.esm.encoding import PAD, encode
from transforms.esm.padded import mean_pool, pad
from transforms.residues import ALLOWED_RESIDUES

allowed_sequences = st.text(ALLOWED_RESIDUES, min_size=1, max_size=200)


def hidden_states(lengths: list[int], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(len(lengths), max(lengths) + 2, 5, generator=generator).to(dtype)


def pool_whole(hidden: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    stops = torch.tensor(lengths) + 1
    return mean_pool(hidden, torch.ones_like(stops), stops)


def test_averages_positions_1_to_n() -> None:
    lengths = [1, 7, 4]
    hidden = hidden_states(lengths)
    pooled = pool_whole(hidden, lengths)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(pooled[row], hidden[row, 1 : length + 1].mean(0))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_a_residue_does_not_leak_in(value: float) -> None:
    lengths = [1, 7, 4]
    hidden = hidden_states(lengths)
    expected = pool_whole(hidden, lengths)
    for row, length in enumerate(lengths):
        hidden[row, 0] = value
        hidden[row, length + 1 :] = value
    assert torch.equal(pool_whole(hidden, lengths), expected)


def test_nan_in_a_residue_is_kept() -> None:
    hidden = hidden_states([3, 3])
    hidden[0, 2, 1] = float("nan")
    pooled = pool_whole(hidden, [3, 3])
    assert torch.isnan(pooled).sum() == 1
    assert torch.isnan(pooled[0, 1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(dtype: torch.dtype) -> None:
    # 2,000 residues of 100: a float16 sum would be infinite, a bfloat16 one would stall.
    hidden = torch.full((1, 2002, 1), 100.0, dtype=dtype)
    pooled = pool_whole(hidden, [2000])
    assert pooled.dtype == torch.float32
    assert pooled.item() == 100.0


def test_one_long_sequence_in_half_precision_is_as_exact_as_its_values() -> None:
    hidden = hidden_states([1000], torch.float16)
    expected = hidden[0, 1:1001].double().mean(0)
    pooled = pool_whole(hidden, [1000])[0].double()
    assert (pooled - expected).abs().max() < 1e-7


def test_a_window_averages_its_own_positions() -> None:
    hidden = hidden_states([7, 7])
    pooled = mean_pool(hidden, torch.tensor([3, 1]), torch.tensor([5, 2]))
    torch.testing.assert_close(pooled[0], hidden[0, 3:5].mean(0))
    torch.testing.assert_close(pooled[1], hidden[1, 1])


@given(sequences=st.lists(allowed_sequences, min_size=1, max_size=8))
def test_padding_changes_no_token(sequences: list[str]) -> None:
    encoded = [encode(sequence) for sequence in sequences]
    ids, attention_mask = pad(encoded)
    assert ids.shape == attention_mask.shape == (len(sequences), max(map(len, sequences)) + 2)
    for row, expected in enumerate(encoded):
        assert attention_mask[row].tolist() == [1] * len(expected) + [0] * (
            ids.shape[1] - len(expected)
        )
        assert ids[row, : len(expected)].tolist() == expected.tolist()
        assert set(ids[row, len(expected) :].tolist()) <= {PAD}
