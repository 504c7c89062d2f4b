"""``--max_dead_letters``: a run that is going wrong ends before it fills the disk.

What counts is what this run meets, be it new or committed by an earlier one. So the same command
stops again where it stopped, until the limit is raised or the input is mended. What was read by
then is finished; a run that has nothing left to read counts nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from pipeline.failures import MOST_SHOWN, name_failed
from pipeline.option_groups.values import MIN_RECORDS, DeadLetterLimit
from transforms import events
from transforms.inputs.stopping import request_stop
from transforms.text import counted, printable


class DeadLetterGuard:
    """Listens to a run and stops it once it has met too many dead letters.

    Args:
        limit: How many are too many; None for no number.
        stop: What stops the run.

    Attributes:
        sentence: Why the run was stopped; None if it was not.
    """

    def __init__(
        self, limit: DeadLetterLimit | None, stop: Callable[[], object] = request_stop
    ) -> None:
        self.sentence: str | None = None
        self._limit = limit
        self._stop = stop
        self._first = ""
        self._dead_letters = 0
        self._records = 0

    def __call__(self, event: events.Event) -> None:
        """Takes note of an event."""
        match event:
            case events.FileOpened(records=records):
                self._records += records
            case events.RecordFailed(ordinal=ordinal):
                self._first = self._first or _describe(event)
                self._dead_letters += 1
                self._records += ordinal is None
        self._check()

    def _check(self) -> None:
        limit = self._limit
        if self.sentence or not limit:
            return
        if limit.is_exceeded(self._dead_letters, self._records):
            count = self._dead_letters
            are = "dead letter is" if count == 1 else "dead letters are"
            of = f" of {counted(self._records, 'record')}" if limit.is_share else ""
            if limit.is_share and self._records < MIN_RECORDS:
                of += f", counted as {MIN_RECORDS:,},"
            self.sentence = (
                f"Stopped: {count:,} {are} more than --max_dead_letters {limit}{of} allows; "
                f"the first: {self._first}"
            )
            self._stop()


def _describe(failed: events.RecordFailed) -> str:
    name = name_failed(failed.source, failed.ordinal, failed.id)
    return f"{name}: {failed.error_type}: {printable(failed.message, MOST_SHOWN)}"
