from __future__ import annotations

import io

import pytest

from pipeline.listening.progress import SECONDS_BETWEEN_LINES, Progress
from pipeline.listening.tally import Tally
from transforms import events

OPENED = events.FileOpened("a", size=10, records=2, residues=2000)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def tell(event: events.Event, *listeners: events.Listener) -> None:
    for listener in listeners:
        listener(event)


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ([events.RecordsEmbedded(1, 400), events.RecordsEmbedded(1, 600)], "residues/s"),
        # What was committed before does not count in the speed.
        ([events.RecordsSkipped(1, 1000)], "? residues/s"),
    ],
)
def test_a_terminal_gets_a_bar_with_rate_and_eta(told: list[events.Event], shown: str) -> None:
    terminal = Terminal()
    tally = Tally(files=1, size=10)
    progress = Progress(tally, terminal)
    for event in (OPENED, *told):
        tell(event, tally, progress)
    progress.close()
    last = terminal.getvalue().split("\r")[-1]
    assert "50%" in last
    assert "1.00k/2.00k" in last
    assert shown in last


def test_elsewhere_plain_lines_come_now_and_then() -> None:
    stream = io.StringIO()
    seconds = 0.0
    tally = Tally(files=1, size=10, clock=lambda: seconds)
    shown = Progress(tally, stream)
    for event in (OPENED, events.RecordsEmbedded(1, 1000)):
        tell(event, tally, shown)
    assert stream.getvalue() == ""
    seconds = SECONDS_BETWEEN_LINES
    for event in (events.RecordsEmbedded(1, 500), events.RecordsEmbedded(1, 100)):
        tell(event, tally, shown)
    (line,) = stream.getvalue().splitlines()
    assert "75% 1.50k of 2.00k residues" in line
    assert "100 residues/s, 00:05 left" in line
    assert "\r" not in line


def test_what_was_committed_before_does_not_count_in_the_speed() -> None:
    stream = io.StringIO()
    seconds = 0.0
    tally = Tally(files=1, size=10, clock=lambda: seconds)
    shown = Progress(tally, stream)
    seconds = SECONDS_BETWEEN_LINES
    for event in (OPENED, events.RecordsSkipped(1, 1000), events.RecordsEmbedded(1, 750)):
        tell(event, tally)
    shown.show()
    assert "88% 1.75k of 2.00k residues, 50.0 residues/s, 00:05 left" in stream.getvalue()
