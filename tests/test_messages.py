from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.fake_subscription import make_message
from transforms.inputs.fasta import MAX_RECORD_RESIDUES
from transforms.messages import (
    MessageError,
    decode_messages,
    encode_messages,
    open_message,
)


def records(data: str | bytes) -> list[tuple[str, str, str | None]]:
    opened = open_message(make_message(1, data))
    found = [(r.id, r.description, r.sequence) for r in opened.records]
    assert opened.counts.records == len(found)
    return found


@pytest.mark.parametrize(
    ("data", "held"),
    [
        (">a\nMKT", [("a", "", "MKT")]),
        ("\ufeff>a one\r\nMK\r\nT\r\n\r\n>b\nGG\n", [("a", "one", "MKT"), ("b", "", "GG")]),
        (">a\n", [("a", "", "")]),
        ('{"id": "a", "sequence": "MK T\\n"}', [("a", "", "MKT")]),
        (' {"id": "a b", "sequence": "", "description": "é", "x": [1]}', [("a b", "é", "")]),
        ('{"id": "a", "sequence": "MKT", "description": null}', [("a", "", "MKT")]),
        ('\ufeff {"id": "a", "sequence": "MKT"}', [("a", "", "MKT")]),
    ],
)
def test_fasta_and_json_are_read(data: str, held: list[tuple[str, str, str]]) -> None:
    assert records(data) == held


@pytest.mark.parametrize(
    ("data", "error_type", "says"),
    [
        (b"", "empty_message", "message 1 is empty"),
        (b" \n\n", "empty_message", "message 1 is empty"),
        (b"; only a comment\n", "empty_message", "message 1 holds no record"),
        (b"MKT", "not_fasta", "message 1 is neither FASTA nor JSON: line 1"),
        (b"\xff\xfe\x00", "not_fasta", "neither FASTA nor JSON"),
        (b"[1]", "not_fasta", "neither FASTA nor JSON"),
        (b"{", "not_json", "message 1 is not JSON"),
        (b'{"id": "\xff"}', "not_json", "message 1 is not JSON"),
        (b'{"a": ' + b"[" * 200_000, "not_json", "message 1 is not JSON"),
        (b'{"sequence": "MKT"}', "not_json", "without an id and a sequence"),
        (b'{"id": "a"}', "not_json", "without an id and a sequence"),
        (b'{"id": 1, "sequence": "MKT"}', "not_json", "that are texts"),
        (b'{"id": "a", "sequence": ["MKT"]}', "not_json", "that are texts"),
        (b'{"id": "a", "sequence": "MKT", "description": 7}', "not_json", "that are texts"),
        (b'{"id": "\\ud800", "sequence": "MKT"}', "not_json", "message 1 is not JSON"),
    ],
)
def test_what_is_neither_is_refused(data: bytes, error_type: str, says: str) -> None:
    with pytest.raises(MessageError) as caught:
        open_message(make_message(1, data))
    assert caught.value.error_type == error_type
    assert says in str(caught.value)


def test_a_sequence_that_is_too_long_is_not_kept() -> None:
    data = json.dumps({"id": "a", "sequence": "M" * (MAX_RECORD_RESIDUES + 1)})
    (record,) = open_message(make_message(1, data)).records
    assert (record.sequence, record.length) == (None, MAX_RECORD_RESIDUES + 1)


def test_they_come_back_as_they_were_written() -> None:
    messages = [
        make_message(1, bytes(range(256)), key="ä\n"),
        make_message(2, ""),
        make_message(3, ">a\nMKT\n"),
    ]
    assert decode_messages(encode_messages(messages)) == messages


def test_a_message_is_known_by_id_and_content() -> None:
    message = make_message(1, ">a\nMKT\n", x="1", y="2")
    assert replace(message, attributes={"y": "2", "x": "1"}).key == message.key
    others = [
        replace(message, id="2"),
        replace(message, data=b">a\nMK\n"),
        replace(message, attributes={"x": "1"}),
    ]
    assert len({message.key, *(other.key for other in others)}) == 4
