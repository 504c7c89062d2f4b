"""A stop that is heard on every machine: a file in the output that readers look for."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from transforms import storage
from transforms.commits import Output
from transforms.holders import LOCKS

SECONDS_BETWEEN_LOOKS = 1.0

logger = logging.getLogger(__name__)


def request_end(output: Output) -> None:
    """Asks what reads for a run to end, on whatever machine it is."""
    storage.overwrite(_end_url(output), b"")


def forget_end(output: Output) -> None:
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
