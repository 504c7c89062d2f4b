from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import EsmModel

from tests.model_helpers import copy_checkpoint, embed_alone, hidden_states, worst_difference
from tests.model_helpers import load_reference as load_exact
from transforms.esm.checkpoints import find_checkpoint
from transforms.esm.encoder import PackedEncoder, pack_encoder
from transforms.esm.forward import attention_of, embed_rows, is_padded
from transforms.esm.kernels.attention import attend_each
from transforms.esm.packing import Row, pack
from transforms.esm.weights import load_encoder
from transforms.residues import ALLOWED_RESIDUES

CPU = torch.device("cpu")


def make_sequences(*lengths: int) -> list[str]:
    rng = random.Random(3)
    return ["".join(rng.choices(ALLOWED_RESIDUES, k=length)) for length in lengths]


def load(checkpoint: Path | str, dtype: str = "float32") -> nn.Module:
    return pack_encoder(load_encoder(find_checkpoint(str(checkpoint)), dtype, "cpu"))


def whole(sequences: list[str]) -> list[Row]:
    return [Row(sequence, 0, len(sequence)) for sequence in sequences]


@torch.inference_mode()
def packed_states(encoder: nn.Module, sequences: list[str]) -> list[torch.Tensor]:
    packed = pack(whole(sequences), CPU)
    return list(encoder(packed).split(packed.boundaries.diff().tolist()))


def test_hidden_states_are_those_of_each_sequence_alone(tiny_checkpoint: Path) -> None:
    reference, encoder = load_exact(tiny_checkpoint), load(tiny_checkpoint)
    sequences = make_sequences(1, 2, 300, 30, 1024, 30, 2500)
    for found, sequence in zip(packed_states(encoder, sequences), sequences, strict=True):
        expected = hidden_states(reference, sequence)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_the_demo_model_too() -> None:
    plain = load_encoder(find_checkpoint("demo"), "float32", "cpu")
    sequences = make_sequences(5, 400, 60)
    expected = np.stack([embed_alone(plain, sequence) for sequence in sequences])
    assert worst_difference(embed_rows(load("demo"), whole(sequences)), expected) < 1e-5


@pytest.mark.parametrize("field", ["token_dropout", "layer_norm_eps"])
def test_takes_the_configuration_to_heart(
    tiny_checkpoint: Path, tmp_path: Path, field: str
) -> None:
    value = {"token_dropout": False, "layer_norm_eps": 0.1}[field]
    checkpoint = copy_checkpoint(tiny_checkpoint, tmp_path / "changed", **{field: value})
    (sequence,) = make_sequences(50)
    expected = hidden_states(load_exact(checkpoint), sequence)
    (found,) = packed_states(load(checkpoint), [sequence])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    (usual,) = packed_states(load(tiny_checkpoint), [sequence])
    assert (found - usual).abs().max() > 1e-3


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_changing_a_sequence_changes_no_other_by_a_bit(tiny_checkpoint: Path, dtype: str) -> None:
    encoder = load(tiny_checkpoint, dtype)
    sequences = make_sequences(20, 130, 64, 7)
    before = embed_rows(encoder, whole(sequences))
    sequences[1] = "W" * 130
    after = embed_rows(encoder, whole(sequences))
    np.testing.assert_array_equal(after[[0, 2, 3]], before[[0, 2, 3]])
    assert not np.array_equal(after[1], before[1])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_in_half_precision_agrees_in_direction(tiny_checkpoint: Path, dtype: str) -> None:
    reference = load_exact(tiny_checkpoint)
    sequences = make_sequences(20, 500, 64, 1024)
    expected = torch.from_numpy(np.stack([embed_alone(reference, s) for s in sequences]))
    found = torch.from_numpy(embed_rows(load(tiny_checkpoint, dtype), whole(sequences)))
    assert float(torch.cosine_similarity(found, expected).min()) >= 0.999


def test_only_residues_that_count_are_averaged(tiny_checkpoint: Path) -> None:
    encoder = load(tiny_checkpoint)
    first, second = make_sequences(40, 30)
    found = embed_rows(encoder, [Row(first, 5, 9), Row(second, 0, 30)])
    states = packed_states(encoder, [first, second])
    np.testing.assert_allclose(found[0], states[0][6:10].mean(0), atol=1e-6)
    np.testing.assert_allclose(found[1], states[1][1:31].mean(0), atol=1e-6)


def test_weights_are_not_held_twice(tiny_checkpoint: Path) -> None:
    """But for query, key and value, which are put together, the parameters are the encoder's."""
    plain = load_encoder(find_checkpoint(str(tiny_checkpoint)), "float32", "cpu")
    theirs = {parameter.data_ptr() for parameter in plain.parameters()}
    ours = {parameter.data_ptr() for parameter in pack_encoder(plain).parameters()}
    assert ours < theirs


def test_where_padding_is_better_the_encoder_stays_as_it_is(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = load_encoder(find_checkpoint(str(tiny_checkpoint)), "float32", "cpu")
    monkeypatch.setattr("transforms.esm.encoder.choose_attention", lambda *_: None)
    kept = pack_encoder(plain)
    assert kept is plain
    assert is_padded(kept)
    assert attention_of(kept) == "padded"


def test_says_how_it_attends(tiny_checkpoint: Path) -> None:
    plain: EsmModel = load_exact(tiny_checkpoint)
    encoder = PackedEncoder(plain, "some back end", attend_each)
    assert not is_padded(encoder)
    assert attention_of(encoder) == "packed (some back end)"
