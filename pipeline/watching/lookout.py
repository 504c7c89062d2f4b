"""Looking for new files, in a thread of its own, so that a run and a slow network do not wait."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from pipeline.watching.arrivals import Arrivals, Taken
from pipeline.watching.turns import Turn
from transforms.inputs.arriving import is_temporary
from transforms.inputs.finding import FastaFile, Listing
from transforms.warn_once import WarnOnce

_SECONDS_TO_END = 5.0

logger = logging.getLogger(__name__)


class Lookout:
    """Looks for new files now and then. For several threads at once.

    A look that fails is logged, and changes nothing: the next one may work.

    Args:
        find: Lists the files that there are.
        seen: What it has listed first.
        arrivals: Takes note of what is found.
        seconds: Time between two looks.
        stop_after: Time without anything new after which it is over; None for never.
        clock: Seconds; replaced by tests.

    Attributes:
        listing: What was found last, without temporary files.
        is_over: Whether nothing has come for so long.
        turn: The round that is to make room for new files; None while there is none.
    """

    def __init__(
        self,
        find: Callable[[], Listing],
        seen: Listing,
        arrivals: Arrivals,
        seconds: float,
        stop_after: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.is_over = False
        self.turn: Turn | None = None
        self._find = find
        self._arrivals = arrivals
        self._seconds = seconds
        self._stop_after = stop_after
        self._clock = clock
        self._quiet_since: float | None = None
        self._warn = WarnOnce(logger)
        self._lock = threading.Lock()
        self._news, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._keep_looking, name="lookout", daemon=True)
        self.listing = seen
        self._take_note(seen)

    def __enter__(self) -> Lookout:
        """Begins to look."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stops looking; one look that hangs is not waited for."""
        self._closed.set()
        self._thread.join(_SECONDS_TO_END)

    def look(self) -> None:
        """Looks once."""
        try:
            listing = self._find()
        # Whatever the client of an object store raises: a watch outlives its network.
        except Exception as error:
            self._warn(f"{error} It is looked for again in {self._seconds:g} s.")
            return
        self._take_note(listing)
        if turn := self.turn:
            turn.check()

    def wait(self, seconds: float) -> None:
        """Waits until the next look is over, but no longer than some seconds."""
        self._news.wait(seconds)
        self._news.clear()

    def take(self) -> Taken | None:
        """Returns the files whose turn it is, as :meth:`Arrivals.take` does."""
        with self._lock:
            return self._arrivals.take()

    def is_awaited(self) -> bool:
        """Tells whether a file waits that what is at work should make room for."""
        with self._lock:
            return self._arrivals.is_awaited

    def is_known(self, source: str) -> bool:
        """Tells whether the output may hold anything of a file."""
        with self._lock:
            return self._arrivals.is_known(source)

    def settle(
        self,
        finished: Iterable[FastaFile] = (),
        failed: Iterable[FastaFile] = (),
        unfinished: Iterable[FastaFile] = (),
        refused: Iterable[FastaFile] = (),
        slow: str = "",
    ) -> None:
        """Takes note of what has become of files that were taken.

        Args:
            finished: Those that are done.
            failed: Those that could not be read.
            unfinished: Those that are left.
            refused: Those that no output can take.
            slow: The one of those left that was being read when the round was stopped.
        """
        with self._lock:
            for file in finished:
                self._arrivals.finish(file)
            for file in failed:
                self._arrivals.finish(file, has_failed=True)
            for file in unfinished:
                self._arrivals.carry(file, is_slow=file.source == slow)
            for file in refused:
                self._arrivals.refuse(file.source)

    def _keep_looking(self) -> None:
        while not self._closed.wait(self._seconds):
            self.look()

    def _take_note(self, listing: Listing) -> None:
        for sentence in listing.unnamed:
            self._warn(sentence)
        files = tuple(file for file in listing.files if not is_temporary(file.source))
        now = self._clock()
        with self._lock:
            self.listing = replace(listing, files=files)
            self._arrivals.look(files)
            if not self._arrivals.is_quiet:
                self._quiet_since = None
            elif self._quiet_since is None:
                self._quiet_since = now
            elif self._stop_after is not None:
                self.is_over = now - self._quiet_since >= self._stop_after
        self._news.set()
