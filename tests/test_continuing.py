from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline import continuing
from pipeline.continuing import REPORT_PAUSE, Rounds
from pipeline.runners import GraphError
from transforms.errors import ConfigurationError, LostError
from transforms.inputs.stopping import clear_stop, stop_requested


class Going(Rounds):
    """Does three steps, each of which may be replaced."""

    def __init__(self, step: Callable[[], object] = lambda: None) -> None:
        self.received: list[int] = []
        plan: Any = SimpleNamespace(output=SimpleNamespace(root="/out", lock="run1"))
        super().__init__(SimpleNamespace(beam_args=()), plan, self.received)
        self.steps = 0
        self._do = step

    @property
    def plan(self) -> Any:
        return self._plan

    @property
    def is_over(self) -> bool:
        return self.steps == 3

    def step(self) -> None:
        self.steps += 1
        self._do()


def test_it_goes_on_until_it_is_over() -> None:
    going = Going()
    assert going.run() is None
    assert going.steps == 3


def test_a_signal_ends_it_after_a_step() -> None:
    going = Going(lambda: going.received.append(15))
    assert going.run() is None
    assert going.steps == 1


@pytest.mark.parametrize("kind", [GraphError, LostError, ConfigurationError, OSError])
def test_what_fails_is_told(kind: type[Exception]) -> None:
    def fail() -> None:
        raise kind("it breaks")

    assert Going(fail).run() == "it breaks"


def test_a_lock_that_is_lost_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(root: str, run: str) -> None:
        raise LostError(f"another run has {root}, not {run}")

    monkeypatch.setattr(continuing, "check_held", lost)
    going = Going(lambda: going.lose())
    try:
        assert going.run() == "another run has /out, not run1"
        assert stop_requested()
    finally:
        clear_stop()
    assert going.steps == 1


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When reports were written; each takes a second, by a clock that a test may move."""
    times: list[float] = []

    def write(*_: object) -> None:
        times.append(clock.now)
        clock.now += 1

    clock = SimpleNamespace(now=100.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(continuing, "time", clock)
    monkeypatch.setattr(continuing, "write_report", write)
    monkeypatch.setattr(continuing, "exit_code", lambda *_: 0)
    monkeypatch.setattr(Going, "report", lambda self, failure=None, is_last=True: None)
    monkeypatch.setattr(Going, "clock", clock, raising=False)
    return times


def test_the_report_is_written_when_something_has_come_and_not_all_the_time(
    written: list[float],
) -> None:
    going: Any = Going()
    assert not going.write_due_report()
    going._report_is_due = True
    assert going.write_due_report()
    assert not going.write_due_report()
    for _ in range(2 * REPORT_PAUSE):
        going._report_is_due = True
        going.write_due_report()
        going.clock.now += 1
    assert written == [100.0, 101.0 + REPORT_PAUSE]
