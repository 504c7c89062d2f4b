"""Tests of the source without an end, on the engine that is always there."""

from __future__ import annotations

import os
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.io.restriction_trackers import OffsetRange

from tests.helpers import make_file_record, make_output
from tests.waiting import feeding, wait_for
from transforms.inputs.finding import FastaFile
from transforms.inputs.stopping import request_end, withdraw_end
from transforms.inputs.watching import Watched, WatchFasta, _TickProvider
from transforms.output.commits import Output, write_file_records


class Finish(beam.DoFn):
    """Notes what comes, and puts it on record as finished."""

    def __init__(self, output: Output, notes: Path) -> None:
        self._output = output
        self._notes = str(notes)

    def process(self, file: FastaFile) -> None:
        with open(self._notes, "a") as notes:
            notes.write(f"{file.source}\n")
        record = make_file_record(file.source, size=file.size, mtime=file.mtime)
        write_file_records(self._output.root, os.urandom(4).hex(), [record])


def watch(watched: Watched, notes: Path) -> list[str]:
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        _ = pipeline | WatchFasta(watched) | beam.ParDo(Finish(watched.output, notes))
    return notes.read_text().split() if notes.exists() else []


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    inputs, output = tmp_path / "in", make_output(tmp_path)
    inputs.mkdir()
    (Path(output.root) / ".locks").mkdir()
    return Watched((str(inputs),), str(inputs), output, poll_seconds=0.1)


def test_files_come_as_they_are_complete_until_it_is_told_to_end(
    watched: Watched, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"

    def feed() -> None:
        (tmp_path / "in/a.fa").write_text(">a\nMK\n")
        wait_for(notes.exists)
        (tmp_path / "in/b.fa").write_text(">b\nMK\n")
        wait_for(lambda: "b.fa" in notes.read_text())
        request_end(watched.output)

    with feeding(feed):
        assert watch(watched, notes) == ["a.fa", "b.fa"]
    withdraw_end(watched.output)
    assert os.listdir(Path(watched.output.root) / ".locks") == []


def test_it_ends_by_itself_when_nothing_comes(watched: Watched, tmp_path: Path) -> None:
    (tmp_path / "in/a.fa").write_text(">a\nMK\n")
    ending = Watched(**{**vars(watched), "stop_after": 0.3})
    assert watch(ending, tmp_path / "notes") == ["a.fa"]


def test_ticks_are_put_off_but_not_divided() -> None:
    ticks = _TickProvider()
    tracker = ticks.create_tracker(OffsetRange(0, 100))
    assert tracker.try_claim(0)
    assert tracker.try_split(0.5) is None
    _, rest = tracker.try_split(0)
    assert rest == OffsetRange(1, 100)
    assert ticks.truncate(b"", rest) is None  # a drain ends them
