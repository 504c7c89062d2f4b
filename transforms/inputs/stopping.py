"""Stopping readers: a flag in this process, and for those elsewhere a file in the output."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import apache_beam as beam

from transforms import storage
from transforms.output.commits import Output
from transforms.output.holders import LOCKS

SECONDS_BETWEEN_LOOKS = 1.0

logger = logging.getLogger(__name__)


def request_end(output: Output) -> None:
    """Asks what reads for a run to end, on whatever machine it is."""
    storage.overwrite(_end_url(output), b"")


def withdraw_end(output: Output) -> None:
    """Takes the request back, once the run is over."""
    storage.delete(_end_url(output))


def is_end_requested(output: Output) -> bool:
    """Tells whether what reads for a run is to end."""
    return storage.exists(_end_url(output))


def _end_url(output: Output) -> str:
    return storage.join(output.root, LOCKS, f"end-{output.run}")


class EndLook:
    """Looks whether a run is to end, but not more than once a second.

    Args:
        output: Where the run writes.
        clock: Seconds; replaced by tests.
    """

    def __init__(self, output: Output, clock: Callable[[], float] = time.monotonic) -> None:
        self._output = output
        self._clock = clock
        self._next = clock() + SECONDS_BETWEEN_LOOKS
        self._is_requested = False

    def is_requested(self) -> bool:
        """Tells what was seen when it was looked for the last time."""
        if not self._is_requested and (now := self._clock()) >= self._next:
            self._next = now + SECONDS_BETWEEN_LOOKS
            try:
                self._is_requested = is_end_requested(self._output)
            except OSError as error:  # no fault of the file that is being read
                logger.debug("It is not known whether the run is to end: %s", error)
        return self._is_requested


class _Readers:
    # A plain flag: a signal handler sets it, and the thread that the handler interrupts might hold
    # the lock of an Event.
    are_to_stop = False
    end: EndLook | None = None


class StoppedError(Exception):
    """A stop was requested in the middle of a file."""


def request_stop() -> None:
    """Asks every reader of this process to end where it is, without an EndOfFile."""
    _Readers.are_to_stop = True


def stop_requested() -> bool:
    """Tells whether readers are to end."""
    return _Readers.are_to_stop or (_Readers.end is not None and _Readers.end.is_requested())


def heed_end(output: Output | None) -> None:
    """Lets readers of this process end when the run does, whose command may be in another one.

    Args:
        output: Where the run writes; it is looked there once a second. None for nowhere.
    """
    _Readers.end = EndLook(output) if output else None


class HeedingDoFn(beam.DoFn):  # type: ignore[misc]
    """Base of the steps that read: they end when the run does.

    Args:
        output: Where the run writes; None for nowhere.
    """

    def __init__(self, output: Output | None) -> None:
        self._output = output

    def setup(self) -> None:
        """See ``beam.DoFn.setup``."""
        heed_end(self._output)


def clear_stop() -> None:
    """Lets readers read again."""
    _Readers.are_to_stop = False
    _Readers.end = None
