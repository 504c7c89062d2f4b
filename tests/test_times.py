"""Tests of how times are written and read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest

from transforms.times import iso, now, seconds_since


@pytest.fixture
def _far_from_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_far_from_greenwich")
def test_times_are_utc_to_the_second() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    assert before <= datetime.fromisoformat(now()) <= datetime.now(UTC)
    assert now().endswith("Z")
    assert len(now()) == len("2026-01-31T12:00:00Z")


def test_a_moment_is_written_in_utc_whatever_its_zone() -> None:
    moment = datetime(2026, 1, 31, 1, 0, 0, 5, timezone(timedelta(hours=2)))
    assert iso(moment) == "2026-01-30T23:00:00.000005Z"
    assert iso(moment, "seconds") == "2026-01-30T23:00:00Z"
    assert datetime.fromisoformat(iso(moment)) == moment


def test_how_long_ago_a_time_was() -> None:
    assert seconds_since("1970-01-01T00:00:10Z", 12.5) == 2.5
    assert seconds_since("yesterday") == float("inf")
