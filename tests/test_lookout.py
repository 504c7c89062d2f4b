"""Tests of looking for new files."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from pipeline.watching.arrivals import Arrivals
from pipeline.watching.lookout import Lookout
from pipeline.watching.turns import Turn
from transforms import events
from transforms.errors import ConfigurationError
from transforms.inputs.finding import FastaFile, Listing


def listing(*sources: str, unnamed: tuple[str, ...] = ()) -> Listing:
    files = tuple(FastaFile(f"/in/{source}", source, 10, 1.0) for source in sources)
    return Listing("/in", files, 0, unnamed)


class Case:
    """A lookout whose folder and clock are set by hand; a look is made every second."""

    def __init__(self, stop_after: float | None = None) -> None:
        self.now = 0.0
        self.found: Listing | Exception = listing()
        self.lookout = Lookout(
            self.find, listing(), Arrivals({}, ()), 1.0, stop_after, clock=lambda: self.now
        )

    def find(self) -> Listing:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    def look(self, found: Listing | Exception) -> None:
        self.now += 1
        self.found = found
        self.lookout.look()

    def taken(self) -> list[str]:
        taken = self.lookout.take()
        return [file.source for file in taken.files] if taken else []


def test_temporary_files_are_not_seen() -> None:
    case = Case()
    for _ in range(2):
        case.look(listing("a.fa", ".b.fa", "c.fa.part"))
    assert [file.source for file in case.lookout.listing.files] == ["a.fa"]
    assert case.taken() == ["a.fa"]


@pytest.mark.parametrize(
    "error",
    [OSError("the network is away"), ConfigurationError("cannot be looked up."), KeyError()],
)
def test_a_look_that_fails_changes_nothing_and_is_told_once(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    case = Case()
    case.look(listing("a.fa"))
    with caplog.at_level(logging.WARNING, "pipeline.watching.lookout"):
        for _ in range(3):
            case.look(error)
    assert len(caplog.records) == 1
    assert str(error) in caplog.text
    case.look(listing("a.fa"))
    assert case.taken() == ["a.fa"]


def test_a_file_that_cannot_be_named_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    case = Case()
    with caplog.at_level(logging.WARNING, "pipeline.watching.lookout"):
        for _ in range(2):
            case.look(listing("a.fa", unnamed=("the path is not UTF-8",)))
    assert [record.getMessage() for record in caplog.records] == ["the path is not UTF-8"]
    assert case.taken() == ["a.fa"]


def test_it_is_over_when_nothing_has_come_for_so_long() -> None:
    case = Case(stop_after=3)
    for _ in range(2):
        case.look(listing("a.fa"))
    taken = case.lookout.take()
    for _ in range(9):
        case.look(listing("a.fa"))
    assert not case.lookout.is_over  # it is at work
    case.lookout.settle(finished=taken.files)
    for is_over in (False, False, False, True):
        assert not case.lookout.is_over
        case.look(listing("a.fa"))
        assert case.lookout.is_over == is_over


@pytest.mark.parametrize("found", [listing("grows.fa"), OSError("away")])
def test_what_grows_or_cannot_be_seen_is_no_quiet(found: Listing | Exception) -> None:
    case = Case(stop_after=3)
    case.look(listing())
    for _ in range(9):
        case.look(found)
    assert not case.lookout.is_over


def test_without_that_option_it_is_never_over() -> None:
    case = Case()
    for _ in range(99):
        case.look(listing())
    assert not case.lookout.is_over


def test_a_look_that_finds_something_new_ends_the_turn_of_a_round() -> None:
    case = Case()
    stops: list[float] = []
    is_awaited: Callable[[], bool] = case.lookout.is_awaited
    stop: Callable[[], None] = lambda: stops.append(case.now)  # noqa: E731
    case.lookout.turn = Turn(2, None, is_awaited, False, stop, lambda: case.now)
    case.lookout.turn(events.FileBegun("x.fa"))
    for _ in range(4):
        case.look(listing())
    for _ in range(2):
        case.look(listing("a.fa"))
    assert stops == [6]


def test_it_looks_by_itself_within_the_block() -> None:
    case = Case()
    case.found = listing("a.fa")
    quick = Lookout(case.find, listing(), Arrivals({}, ()), 0.01)
    with quick:
        while not quick.is_awaited():
            quick.wait(10)
    assert not quick._thread.is_alive()
