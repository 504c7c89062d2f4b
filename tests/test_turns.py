"""Tests of how long a round may last while others wait."""

from __future__ import annotations

from pipeline.watching.turns import Turn
from transforms import events

EMBEDDED, SKIPPED = events.RecordsEmbedded(1, 10), events.RecordsSkipped(1, 10)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Case:
    """A turn with 5 seconds, and how often it has stopped its round."""

    def __init__(self, patience: float | None = None, is_shared: bool = False) -> None:
        self.clock = Clock()
        self.is_awaited = True
        self.stops = 0
        self.turn = Turn(5, patience, lambda: self.is_awaited, is_shared, self.stop, self.clock)
        self.turn(events.FileBegun("a.fa"))

    def stop(self) -> None:
        self.stops += 1

    def at(self, seconds: float, event: events.Event | None = None) -> bool:
        """Whether the round is stopped at a time by then."""
        self.clock.now = 100.0 + seconds
        if event:
            self.turn(event)
        else:
            self.turn.check()
        return self.stops > 0


def test_a_round_is_stopped_when_its_time_is_over() -> None:
    case = Case()
    assert not case.at(4.9, EMBEDDED)
    assert case.at(5)


def test_it_goes_on_while_nobody_waits() -> None:
    case = Case()
    case.is_awaited = False
    assert not case.at(1000, EMBEDDED)
    case.is_awaited = True
    assert case.at(1001, SKIPPED)


def test_one_that_carries_on_has_its_time_from_the_first_new_vector() -> None:
    case = Case(patience=60)
    assert not case.at(3, SKIPPED)
    assert not case.at(4, EMBEDDED)
    assert not case.at(8.9, EMBEDDED)
    assert case.at(9)


def test_it_has_as_long_as_it_took_to_get_there() -> None:
    case = Case(patience=60)
    assert not case.at(30, EMBEDDED)
    assert not case.at(59.9, EMBEDDED)
    assert case.at(60, EMBEDDED)
    assert case.turn.has_begun


def test_patience_with_one_that_gets_nowhere_has_an_end() -> None:
    case = Case(patience=20)
    assert not case.at(19.9, SKIPPED)
    assert case.at(20)
    assert not case.turn.has_begun


def test_a_round_that_is_over_stops_nothing() -> None:
    case = Case()
    case.turn.close()
    assert not case.at(1000)


def test_files_that_wait_for_one_of_their_round_do_so_no_longer_than_its_time() -> None:
    alone, shared = Case(), Case(is_shared=True)
    for case in (alone, shared):
        case.is_awaited = False
        assert not case.at(4, EMBEDDED)
        assert not case.at(8.9, SKIPPED)
    assert shared.at(9)
    assert not alone.at(1000)


def test_its_time_begins_when_it_begins_to_read() -> None:
    clock, stops = Clock(), list[float]()
    turn = Turn(5, None, lambda: True, True, lambda: stops.append(clock.now), clock)
    for clock.now in (100.0, 200.0):
        turn.check()
    turn(events.FileBegun("a.fa"))
    for clock.now in (204.0, 205.0):
        turn.check()
    assert stops == [205.0]
