"""Tests of how failures become dead letters."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

from transforms import events
from transforms.dead_letters import (
    decode_dead_letters,
    encode_dead_letters,
    file_failed,
    record_failed,
)
from transforms.inputs.fasta import MAX_RECORD_RESIDUES
from transforms.items import Protein


def protein(sequence: str) -> Protein:
    return Protein("a/b.faa", 6, "p7", "seventh", sequence, "f" * 64)


def test_a_record_keeps_all_that_is_known_of_it() -> None:
    letter = record_failed(protein("MKé"), "residues", "invalid_residue", "é at 3", attempts=2)
    assert letter.sequence == "MKé"
    assert (letter.source, letter.ordinal, letter.id) == ("a/b.faa", 6, "p7")
    assert (letter.description, letter.length, letter.file_sha256) == ("seventh", 3, "f" * 64)
    assert letter.sequence_sha256 == hashlib.sha256("MKé".encode()).hexdigest()
    assert (letter.stage, letter.error_type) == ("residues", "invalid_residue")
    assert (letter.message, letter.attempts) == ("é at 3", 2)


def test_a_file_has_no_ordinal_and_no_sequence() -> None:
    letter = file_failed("a/b.faa", "truncated", "it ends early")
    assert (letter.source, letter.ordinal, letter.sequence, letter.length) == (
        "a/b.faa", None, None, 0
    )  # fmt: skip
    assert (letter.stage, letter.error_type, letter.message, letter.attempts) == (
        "read", "truncated", "it ends early", 1
    )  # fmt: skip
    assert (letter.sequence_sha256, letter.file_sha256) == ("", "")
    assert file_failed("a", "x", "y", file_sha256="0" * 64).file_sha256 == "0" * 64


def test_a_giant_sequence_is_left_out_but_counted() -> None:
    longest = "M" * MAX_RECORD_RESIDUES
    assert record_failed(protein(longest), "inference", "oom", "x").sequence == longest
    letter = record_failed(protein(longest + "K"), "inference", "oom", "x")
    assert (letter.sequence, letter.length) == (None, MAX_RECORD_RESIDUES + 1)


def test_that_of_a_message_says_of_which_and_that_of_a_file_has_no_such_fields() -> None:
    origin = {"message_id": "7", "publish_time": "2026-01-31T12:00:00Z", "attributes": '{"a": "b"}'}
    letter = record_failed(replace(protein("MK1"), **origin), "residues", "invalid_residue", "1")
    of_file = record_failed(protein("MK1"), "residues", "invalid_residue", "1")
    encoded = encode_dead_letters([letter, of_file])
    first, second = map(json.loads, encoded.splitlines())
    assert {name: first[name] for name in origin} == origin
    assert not origin.keys() & second.keys()
    assert first.keys() - origin.keys() == second.keys()
    assert decode_dead_letters(encoded) == (letter, of_file)


def test_listeners_are_told() -> None:
    heard: list[events.Event] = []
    with events.listening(heard.append):
        record_failed(protein("MK*T"), "residues", "invalid_residue", "* at 3")
        file_failed("c.faa", "not_fasta", "line 1")
    assert heard == [
        events.RecordFailed("a/b.faa", 6, "p7", 4, "residues", "invalid_residue", "* at 3"),
        events.RecordFailed("c.faa", None, "", 0, "read", "not_fasta", "line 1"),
    ]
