"""Tests of the counts that the progress bar shows and the heartbeat tells."""

from __future__ import annotations

from pipeline.listening.tally import Tally
from transforms import events


def failed(stage: str, ordinal: int | None = 0) -> events.RecordFailed:
    return events.RecordFailed("a", ordinal, "x", 5, stage, "t", "m")


def test_the_total_is_reckoned_from_bytes_until_all_files_are_open() -> None:
    tally = Tally(files=2, size=300)
    assert tally.residues_total == 0
    tally(events.FileOpened("a", size=100, records=1, residues=80))
    assert tally.residues_total == 240
    tally(events.FileOpened("b", size=200, records=1, residues=10))
    assert tally.residues_total == 90


def test_nothing_more_is_to_come_of_a_file_that_cannot_be_read() -> None:
    tally = Tally(files=3, size=400)
    for event in (
        events.FileBegun("a", size=100),
        events.FileOpened("a", size=100, records=1, residues=80),
        events.RecordsEmbedded(1, 80),
        events.FileBegun("b", size=200),
        events.RecordFailed("b", None, "", 0, "read", "not_fasta", "m"),
    ):
        tally(event)
    assert tally.residues_total == 160
    tally(events.FileBegun("c", size=100))
    tally(events.RecordFailed("c", None, "", 0, "read", "truncated", "m"))
    assert tally.residues_total == tally.residues == 80


def test_each_outcome_counts_once() -> None:
    tally = Tally(files=3, size=1)
    for event in (
        events.RecordsEmbedded(2, 10),
        events.RecordsSkipped(1, 7),
        failed("residues"),
        failed("inference"),
        failed("validate"),  # was embedded before
        failed("read", ordinal=None),  # a file, of which no record was read
        events.FileFinished("b", 2, 3, 0.5),
    ):
        tally(event)
    assert tally.residues == 10 + 7 + 5 + 5
    numbers = tally.numbers()
    assert numbers["residues"] == tally.residues
    assert numbers["residues_skipped"] == 7
    assert numbers["records"] == 2 + 1 + 1 + 1
    assert numbers["dead_letters"] == 3
    assert (numbers["files"], numbers["files_done"]) == (3, 2)


def test_the_heartbeat_is_told_all_of_it() -> None:
    clock = iter([100.0, 112.5])
    tally = Tally(files=1, size=10, clock=lambda: next(clock))
    tally(events.FileOpened("a", size=5, records=1, residues=80))
    assert tally.numbers() == {
        "seconds": 12.5, "files": 1, "files_done": 0, "bytes": 10, "records": 0,
        "dead_letters": 0, "residues": 0, "residues_skipped": 0, "residues_total": 160,
    }  # fmt: skip


def test_what_has_stopped_gets_no_slower() -> None:
    clock = iter([100.0, 112.5, 300.0])
    tally = Tally(files=1, size=10, clock=lambda: next(clock))
    tally.stop()
    assert tally.seconds == tally.numbers()["seconds"] == 12.5
