from __future__ import annotations

import io

import pytest

from pipeline import progress
from pipeline.progress import Progress
from transforms import events


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def failed(stage: str, ordinal: int | None = 0) -> events.RecordFailed:
    return events.RecordFailed("a", ordinal, "x", 5, stage, "t", "m")


def test_the_total_is_reckoned_from_bytes_until_all_files_are_open() -> None:
    shown = Progress(total_bytes=300, stream=io.StringIO())
    assert shown.total == 0
    shown(events.FileOpened("a", size=100, records=1, residues=80))
    assert shown.total == 240
    shown(events.FileOpened("b", size=200, records=1, residues=10))
    assert shown.total == 90


def test_each_outcome_counts_once() -> None:
    shown = Progress(total_bytes=1, stream=io.StringIO())
    for event in (
        events.RecordsEmbedded(2, 10),
        events.RecordsSkipped(1, 7),
        failed("residues"),
        failed("inference"),
        failed("validate"),  # was embedded before
        failed("read", ordinal=None),  # a file, of which no record was read
    ):
        shown(event)
    assert shown.done == 10 + 7 + 5 + 5


def test_a_terminal_gets_a_bar_with_rate_and_eta() -> None:
    terminal = Terminal()
    shown = Progress(total_bytes=10, stream=terminal)
    shown(events.FileOpened("a", size=10, records=2, residues=2000))
    shown(events.RecordsEmbedded(1, 1000))
    shown.close()
    last = terminal.getvalue().split("\r")[-1]
    assert "50%" in last
    assert "1.00k/2.00k" in last
    assert "residues/s" in last


def test_elsewhere_plain_lines_come_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    shown = Progress(total_bytes=10, stream=stream)
    shown(events.FileOpened("a", size=10, records=2, residues=2000))
    shown(events.RecordsEmbedded(1, 1000))
    assert stream.getvalue() == ""
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    shown(events.RecordsEmbedded(1, 500))
    (line,) = stream.getvalue().splitlines()
    assert "75% 1.50k of 2.00k residues" in line
    assert "left" in line
    assert "\r" not in line
