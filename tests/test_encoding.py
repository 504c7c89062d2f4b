from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import EsmTokenizer

from transforms.esm.encoding import CLS, EOS, PAD, VOCAB, encode
from transforms.residues import ALLOWED_RESIDUES

allowed_sequences = st.text(ALLOWED_RESIDUES, min_size=1, max_size=200)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    vocab: Path = tmp_path_factory.mktemp("tokenizer") / "vocab.txt"
    vocab.write_text("\n".join(VOCAB) + "\n")
    return EsmTokenizer(str(vocab))


@pytest.mark.parametrize("residue", ALLOWED_RESIDUES)
def test_every_allowed_residue_is_encoded_as_by_hugging_face(tokenizer: Any, residue: str) -> None:
    assert encode(residue).tolist() == tokenizer(residue)["input_ids"]


@given(sequence=allowed_sequences)
def test_sequences_are_encoded_as_by_hugging_face(tokenizer: Any, sequence: str) -> None:
    assert encode(sequence).tolist() == tokenizer(sequence)["input_ids"]


def test_the_special_tokens_are_those_of_hugging_face(tokenizer: Any) -> None:
    assert (
        tokenizer.cls_token_id,
        tokenizer.pad_token_id,
        tokenizer.eos_token_id,
    ) == (CLS, PAD, EOS)


@given(sequence=st.text(max_size=30))
def test_a_sequence_has_residues_plus_two_tokens_or_is_refused(sequence: str) -> None:
    if sequence and set(sequence) <= set(ALLOWED_RESIDUES):
        ids = encode(sequence)
        assert ids.shape == (len(sequence) + 2,)
        assert ids.dtype == np.int64
    else:
        with pytest.raises(ValueError, match="has no"):
            encode(sequence)


@pytest.mark.parametrize(
    "character", ["a", "*", "J", "-", ".", "1", " ", "?", "é", "Ł", "🧬", "\0"]
)
def test_the_first_character_without_a_token_is_named(character: str) -> None:
    with pytest.raises(ValueError, match="position 3 ") as caught:
        encode(f"MK{character}V*")
    assert repr(character) in str(caught.value)


def test_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="without residues"):
        encode("")
