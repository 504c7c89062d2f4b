"""Tests of the residue policy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers import make_block, make_dead_letter, make_end, make_protein, sha256
from transforms.errors import ConfigurationError
from transforms.items import Batch, DeadLetter, Item, Protein, Settled
from transforms.residues import (
    ALLOWED_RESIDUES,
    ResidueError,
    ResiduePolicy,
    _CheckResiduesDoFn,
    apply_policy,
)

CLEAN, STRICT = ResiduePolicy("clean"), ResiduePolicy("strict")


def raw(sequence: str) -> Protein:
    """A record as the reader yields it."""
    return Protein("a.fa", 3, "p", "a protein", sequence, sha256("a.fa"))


def refusal(sequence: str, policy: ResiduePolicy) -> ResidueError:
    with pytest.raises(ResidueError) as caught:
        apply_policy(raw(sequence), policy)
    return caught.value


@pytest.mark.parametrize("policy", [CLEAN, STRICT])
@pytest.mark.parametrize("sequence", ["M", "MKTAYI", ALLOWED_RESIDUES, "XXUZOB"])
def test_a_sequence_that_needs_nothing_is_not_changed(sequence: str, policy: ResiduePolicy) -> None:
    protein = apply_policy(raw(sequence), policy)
    assert protein.sequence is sequence
    assert protein.changes == ""
    assert (protein.id, protein.ordinal, protein.description) == ("p", 3, "a protein")


@pytest.mark.parametrize(
    ("sequence", "cleaned", "changes"),
    [
        ("mktayi", "MKTAYI", "upper-cased"),
        ("MKTaYI", "MKTAYI", "upper-cased"),
        ("MKT*", "MKT", "terminal * dropped"),
        ("MJTJ", "MXTX", "2 J to X"),
        ("mjt*", "MXT", "upper-cased; terminal * dropped; 1 J to X"),
        ("uzobx", "UZOBX", "upper-cased"),
    ],
)
def test_clean_says_what_it_changed(sequence: str, cleaned: str, changes: str) -> None:
    protein = apply_policy(raw(sequence), CLEAN)
    assert (protein.sequence, protein.changes) == (cleaned, changes)


@pytest.mark.parametrize(
    ("sequence", "character", "position"),
    [
        ("MKT1", "'1'", 4),
        ("1MKT", "'1'", 1),
        ("MK-T", "'-'", 3),
        ("MK.T", "'.'", 3),
        ("MK T", "' '", 3),
        ("M*KT", "'*'", 2),
        ("MKT**", "'*'", 4),
        ("*MKT*", "'*'", 1),
        ("MK?T!", "'?'", 3),
        ("MKTß", "'ß'", 4),
        ("mktß", "'ß'", 4),
        ("MKıT", "'ı'", 3),
        ("MKİT", "'İ'", 3),
        ("MKſT", "'ſ'", 3),
        ("MKé", "'é'", 3),
        ("MK\N{KELVIN SIGN}", "'\N{KELVIN SIGN}'", 3),
    ],
)
def test_clean_refuses_what_it_cannot_read(sequence: str, character: str, position: int) -> None:
    error = refusal(sequence, CLEAN)
    assert error.error_type == "invalid_residue"
    assert f"{character} at position {position}" in str(error)


@pytest.mark.parametrize(
    ("sequence", "position"), [("MkT", 2), ("MKT*", 4), ("MJT", 2), ("MKTß", 4), ("MKı", 3)]
)
def test_strict_refuses_what_clean_would_change(sequence: str, position: int) -> None:
    error = refusal(sequence, STRICT)
    assert error.error_type == "invalid_residue"
    assert f"at position {position}" in str(error)


@pytest.mark.parametrize(
    ("sequence", "told"),
    [
        ("mkt", "'m' at position 1, the first of 3 such letters, is not allowed as it is written "
         "(--residues strict); --residues clean would take the sequence"),
        ("MKT*", "'*' at position 4 is not allowed as it is written (--residues strict); "
         "--residues clean would take the sequence"),
        ("m1", "'m' at position 1, the first of 2 such letters, is not allowed as it is written "
         "(--residues strict)"),
        ("*", "'*' at position 1 is not allowed as it is written (--residues strict)"),
    ],
)  # fmt: skip
def test_strict_says_that_it_is_the_policy_that_refuses(sequence: str, told: str) -> None:
    assert str(refusal(sequence, STRICT)) == told


def test_a_refusal_counts_what_else_is_wrong() -> None:
    assert "first of 3" in str(refusal("M1K22", CLEAN))
    assert "first of" not in str(refusal("M1K", CLEAN))


def test_nothing_left_is_an_empty_sequence() -> None:
    assert refusal("*", CLEAN).error_type == "empty_sequence"
    assert refusal("", CLEAN).error_type == "empty_sequence"
    assert refusal("", STRICT).error_type == "empty_sequence"
    assert refusal("*", STRICT).error_type == "invalid_residue"


@pytest.mark.parametrize(("length", "used"), [(3, 3), (4, 4), (5, 4), (500, 4)])
def test_truncation_is_of_what_the_model_is_given_only(length: int, used: int) -> None:
    protein = apply_policy(raw("K" * length), ResiduePolicy(truncation_seq_length=4))
    assert len(protein.sequence) == length
    assert protein.residues_used == used
    assert protein.changes == ""


def test_long_sequences_can_be_refused() -> None:
    policy = ResiduePolicy(long_sequences="reject", truncation_seq_length=4)
    assert refusal("MKTAY", policy).error_type == "too_long"
    assert apply_policy(raw("MKTA"), policy).residues_used == 4
    # What counts is the length after the policy.
    assert apply_policy(raw("MKTA*"), policy).residues_used == 4


def test_the_hash_is_of_the_sequence_after_the_policy_and_before_truncation() -> None:
    protein = apply_policy(raw("mktayj*"), ResiduePolicy(truncation_seq_length=2))
    assert protein.sequence_sha256 == sha256("MKTAYX")


@pytest.mark.parametrize(
    "fields",
    [{"residues": "loose"}, {"long_sequences": "cut"}, {"truncation_seq_length": 0}],
)
def test_a_policy_that_is_none(fields: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=f"--{next(iter(fields))}"):
        ResiduePolicy(**fields)


policies = st.builds(
    ResiduePolicy,
    st.sampled_from(["clean", "strict"]),
    st.sampled_from(["truncate", "reject"]),
    st.integers(1, 12),
)
# Mostly letters that pass, so that many sequences do.
sequences = (
    st.text(ALLOWED_RESIDUES + ALLOWED_RESIDUES.lower() + "Jj*", max_size=20)
    | st.text(ALLOWED_RESIDUES, max_size=20).map(lambda sequence: sequence + "*")
    | st.text(max_size=8)
)


@settings(deadline=None)
@given(sequences, policies)
def test_whatever_passes_is_what_the_model_knows(sequence: str, policy: ResiduePolicy) -> None:
    try:
        protein = apply_policy(raw(sequence), policy)
    except ResidueError:
        return
    assert protein.sequence
    assert set(protein.sequence) <= set(ALLOWED_RESIDUES)
    assert protein.residues_used == min(len(protein.sequence), policy.truncation_seq_length)
    assert protein.tokens == protein.residues_used + 2
    assert protein.used == protein.sequence[: protein.residues_used]
    assert (protein.changes == "") == (protein.sequence == sequence)
    # Nothing moves: residue i of the record is residue i of what the model sees.
    assert len(sequence) - len(protein.sequence) in (0, sequence.endswith("*"))


def test_a_refused_record_becomes_a_dead_letter_with_its_sequence_as_written() -> None:
    (letter,) = _CheckResiduesDoFn(CLEAN).process(raw("mkt1"))
    assert isinstance(letter, DeadLetter)
    assert (letter.source, letter.ordinal, letter.id) == ("a.fa", 3, "p")
    assert (letter.stage, letter.error_type) == ("residues", "invalid_residue")
    assert (letter.sequence, letter.length) == ("mkt1", 4)
    assert letter.sequence_sha256 == sha256("mkt1")
    assert letter.file_sha256 == sha256("a.fa")


def test_the_step_applies_its_policy() -> None:
    (protein,) = _CheckResiduesDoFn(CLEAN).process(raw("mkt"))
    assert protein == apply_policy(raw("mkt"), CLEAN)
    (letter,) = _CheckResiduesDoFn(STRICT).process(raw("mkt"))
    assert isinstance(letter, DeadLetter)


@pytest.mark.parametrize(
    "item",
    [
        make_dead_letter(sequence="mk1"),
        make_dead_letter(None),
        Settled("a.fa", "", "part", 1, 0),
        make_end(3),
        make_block(make_protein(), vectors=np.ones((1, 2))),
    ],
    ids=lambda item: type(item).__name__,
)
def test_other_kinds_pass_untouched(item: Item) -> None:
    (passed,) = _CheckResiduesDoFn(STRICT).process(item)
    assert passed is item


def test_what_comes_together_stays_together() -> None:
    items = (raw("mkt"), make_end(3), raw("mk1"))
    (batch,) = _CheckResiduesDoFn(CLEAN).process(Batch(items))
    assert isinstance(batch, Batch)
    good, end, letter = batch.items
    assert (good, end) == (apply_policy(raw("mkt"), CLEAN), items[1])
    assert isinstance(letter, DeadLetter)


def test_a_refusal_says_what_to_do_about_numbers() -> None:
    assert "take the numbers out" in str(refusal("1MK", CLEAN))
    assert "take the numbers out" not in str(refusal("M-K", CLEAN))
