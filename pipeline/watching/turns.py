"""How long a round may last while others wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from transforms import events
from transforms.inputs.stopping import request_stop


class Turn:
    """Listens to a round and stops it once others wait and it has had its time.

    A round of new files has its time from when it begins to read. One that carries on with what an
    earlier round left has to read and skip before it gets anywhere: its time begins with the first
    new vector, and is at least as long as it took to get there. So a file gets on, whatever keeps
    coming. Where a round has several files, they wait for each other: when nothing is finished or
    embedded any more for the time that a round has, it is stopped too.

    Args:
        seconds: The time that a round has.
        patience: How long one that carries on may take until its first new vector; None for a
            round of new files.
        is_awaited: Tells whether others wait.
        is_shared: Whether the round has several files.
        stop: What stops the round.
        clock: Seconds; replaced by tests.

    Attributes:
        has_begun: Whether there was a new vector.
    """

    def __init__(
        self,
        seconds: float,
        patience: float | None,
        is_awaited: Callable[[], bool],
        is_shared: bool = False,
        stop: Callable[[], object] = request_stop,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.has_begun = False
        self._seconds = seconds
        self._patience = patience
        self._is_awaited = is_awaited
        self._is_shared = is_shared
        self._stop = stop
        self._clock = clock
        self._start = self._moved = 0.0
        self._end = float("inf")  # to begin takes a second or more where others use the machine
        self._is_over = False
        self._lock = threading.Lock()

    def __call__(self, event: events.Event) -> None:
        """Takes note of an event."""
        now = self._clock()
        if self._end == float("inf"):
            self._start = self._moved = now
            self._end = now + (self._seconds if self._patience is None else self._patience)
        if isinstance(event, events.RecordsEmbedded | events.FileFinished):
            self._moved = now
        if isinstance(event, events.RecordsEmbedded) and not self.has_begun:
            self.has_begun = True
            if self._patience is not None:
                self._end = now + max(self._seconds, now - self._start)
        self.check()

    def check(self) -> None:
        """Stops the round if it is time."""
        now = self._clock()
        is_stuck = self._is_shared and now - self._moved >= self._seconds
        if now < self._end or not (is_stuck or self._is_awaited()):
            return
        with self._lock:
            if not self._is_over:
                self._stop()

    def close(self) -> None:
        """Says that the round is over: from now on nothing is stopped."""
        with self._lock:
            self._is_over = True
