from __future__ import annotations

import hashlib

import pytest

from tests.fake_subscription import make_message
from transforms import events
from transforms.errors import ConfigurationError
from transforms.inputs.finding import FastaFile
from transforms.inputs.stopping import clear_stop, request_stop
from transforms.items import DeadLetter, EndOfFile, Item, Protein
from transforms.messages import encode_messages
from transforms.pulls import read_pull

FILE = FastaFile("/out/.spool/pubsub/sub/1", "pubsub/sub/1", 7, 1.5, complete=9.5)
DATA = encode_messages(
    [
        make_message(1, ">a one\nMKT\n>b\nGG\n", run="7"),
        make_message(2, b"\xffgarbage"),
        make_message(3, '{"id": "j", "sequence": "MK"}'),
        make_message(4, ">e\n"),
    ]
)


def read() -> list[Item]:
    return list(read_pull(FILE, DATA))


def test_each_record_has_an_ordinal_and_says_of_which_message_it_is() -> None:
    found = [item for item in read() if isinstance(item, Protein | DeadLetter)]
    assert [(item.ordinal, item.id, item.message_id) for item in found] == [
        (0, "a", "1"),
        (1, "b", "1"),
        (2, "", "2"),
        (3, "j", "3"),
        (4, "e", "4"),
    ]
    first = found[0]
    assert isinstance(first, Protein)
    assert (first.description, first.sequence) == ("one", "MKT")
    assert first.publish_time == "2026-01-31T12:00:01.000001Z"
    assert first.attributes == '{"run": "7"}'
    assert {item.source for item in found} == {"pubsub/sub/1"}
    assert {item.file_sha256 for item in found} == {hashlib.sha256(DATA).hexdigest()}


def test_a_message_that_holds_no_record_is_a_dead_letter_with_what_it_holds() -> None:
    garbage, empty = (item for item in read() if isinstance(item, DeadLetter))
    assert (garbage.stage, garbage.error_type) == ("read", "not_fasta")
    assert garbage.sequence == "\\xffgarbage"
    assert garbage.publish_time == "2026-01-31T12:00:02.000001Z"
    assert empty.error_type == "empty_sequence"


def test_where_a_bad_record_stands_is_said_of_its_message() -> None:
    data = encode_messages([make_message(1, ">a\nMK\n>b\nMK\n"), make_message(2, ">c\nMK\n>d\n")])
    told: list[events.Event] = []
    with events.listening(told.append):
        (letter,) = (item for item in read_pull(FILE, data) if isinstance(item, DeadLetter))
    assert letter.message == "message 2, record 2 (line 3) has a header but no sequence"
    assert letter.ordinal == 3
    assert [e.ordinal for e in told if isinstance(e, events.RecordFailed)] == [3]


def test_the_end_counts_records_and_bad_messages() -> None:
    *_, end = read()
    assert end == EndOfFile(
        FILE.source, hashlib.sha256(DATA).hexdigest(), FILE.url, 7, 1.5, records=5, residues=7
    )
    assert isinstance(end, EndOfFile)
    assert end.complete == 9.5


def test_listeners_are_told_of_the_pull_before_its_records() -> None:
    told: list[events.Event] = []
    with events.listening(told.append):
        next(read_pull(FILE, DATA))
    assert told == [events.FileOpened("pubsub/sub/1", 7, 5, 7)]


def test_a_stop_does_not_cut_it_short() -> None:
    request_stop()
    try:
        assert len(read()) == 6
    finally:
        clear_stop()


@pytest.mark.parametrize("data", [b"{", b"{}\n", b'{"data": "~~"}\n', DATA[:-9]])
def test_a_damaged_one_is_named(data: bytes) -> None:
    with pytest.raises(ConfigurationError, match="/out/.spool/pubsub/sub/1 is damaged"):
        list(read_pull(FILE, data))
