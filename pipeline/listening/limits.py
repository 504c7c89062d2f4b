"""``--max_dead_letters``: a run that is going wrong ends before it fills the disk.

What counts is what this run meets, be it new or committed by an earlier one. So the same command
stops again where it stopped, until the limit is raised or the input is mended.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.failures import MOST_SHOWN, name_failed
from pipeline.listening.hearing import check_is_heard
from transforms import events
from transforms.inputs.stopping import request_stop
from transforms.text import printable

MIN_RECORDS = 1_000
"""A share of fewer records is reckoned as one of so many."""


@dataclass(frozen=True)
class DeadLetterLimit:
    """How many dead letters a run may meet.

    Attributes:
        most: That many, or so many per cent of the records in the files opened so far. How many a
            file has is known when it is opened, so that what fails early in it is not held against
            the little that was embedded by then.
        is_share: Whether it is per cent.
    """

    most: float
    is_share: bool = False

    def __str__(self) -> str:
        return f"{self.most:g}%" if self.is_share else f"{self.most:.0f}"

    def is_exceeded(self, dead_letters: int, records: int) -> bool:
        """Tells whether it is time to stop.

        Args:
            dead_letters: Records and files that failed.
            records: Records in the files opened so far, and files that could not be read.
        """
        if not self.is_share:
            return dead_letters > self.most
        return 100 * dead_letters > self.most * max(records, MIN_RECORDS)


def parse_limit(text: str) -> DeadLetterLimit:
    """Returns what ``--max_dead_letters`` asks for, e.g. ``100`` or ``2.5%``.

    Raises:
        argparse.ArgumentTypeError: It is neither a whole number nor a percentage up to 100.
    """
    found = re.fullmatch(r"(\d+)|(\d+(?:\.\d+)?)%", text.strip(), re.ASCII)
    if not found or (found[2] and float(found[2]) > 100):
        raise argparse.ArgumentTypeError(
            f"must be a whole number or a percentage up to 100%, not {text!r}"
        )
    return DeadLetterLimit(float(found[1] or found[2]), is_share=bool(found[2]))


def check_limit(limit: DeadLetterLimit | None, beam_args: Sequence[str]) -> None:
    """Makes sure that dead letters will be heard of, where they are to be counted.

    Raises:
        ConfigurationError: The steps will run in other processes.
    """
    if limit:
        check_is_heard(beam_args, "--max_dead_letters counts")


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
            of = f" of {max(self._records, MIN_RECORDS):,} records" if limit.is_share else ""
            self.sentence = (
                f"Stopped: {count:,} {are} more than --max_dead_letters {limit}{of} allows; "
                f"the first: {self._first}"
            )
            self._stop()


def _describe(failed: events.RecordFailed) -> str:
    name = name_failed(failed.source, failed.ordinal, failed.id)
    return f"{name}: {failed.error_type}: {printable(failed.message, MOST_SHOWN)}"
