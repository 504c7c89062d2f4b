"""Times as they stand in records and lock files: ISO 8601 in UTC, e.g. ``2026-01-31T12:00:00Z``."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now(timespec: str = "seconds") -> str:
    """Returns the time.

    Args:
        timespec: How exact, as for ``datetime.isoformat``.
    """
    return iso(datetime.now(UTC), timespec)


def iso(moment: datetime, timespec: str = "auto") -> str:
    """Returns a moment in this form.

    Args:
        moment: In any time zone.
        timespec: How exact, as for ``datetime.isoformat``.
    """
    return moment.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def seconds_since(moment: str, now: float | None = None) -> float:
    """Returns how long ago a time was; endless for what is no time.

    Args:
        moment: The time.
        now: Seconds since the epoch; by default the time.
    """
    try:
        then = datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return float("inf")
    return (time.time() if now is None else now) - then
