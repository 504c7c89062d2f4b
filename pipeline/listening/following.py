"""How far a run is whose records are embedded in other processes: what its commits say.

What happens there is heard of nowhere in this process, so progress, which is told by events on the
local runner, comes from the output itself.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from pipeline.listening.progress import SECONDS_BETWEEN_LINES
from transforms import storage
from transforms.errors import ConfigurationError
from transforms.output.commits import COMMITS, Output, read_file_records, read_part_record
from transforms.output.parts import is_of_run


class Following:
    """Counts what a run has committed; reads each commit record once.

    Args:
        output: Where the run writes.
        files: Files to be read.
        clock: Seconds; replaced by tests.
    """

    def __init__(
        self, output: Output, files: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._output = output
        self._clock = clock
        self._start = clock()
        self._lock = threading.Lock()  # the heartbeat asks too
        self._read: set[str] = set()
        self._counts = {"files": files, "files_done": 0, "records": 0, "dead_letters": 0}

    def numbers(self) -> dict[str, float]:
        """Returns all counts by name, as far as the output tells.

        Raises:
            OSError: The output cannot be read.
        """
        with self._lock:
            for name in storage.list_names(storage.join(self._output.root, COMMITS)):
                if name not in self._read:
                    self._count(name)
                    self._read.add(name)
            return {"seconds": round(self._clock() - self._start, 3), **self._counts}

    def _count(self, name: str) -> None:
        root, run = self._output.root, self._output.run
        try:
            if name.startswith(f"part-{run}-"):
                part = read_part_record(root, name.removesuffix(".json"))
                if not is_of_run(part.run, run):  # what an earlier one wrote, without what failed
                    return
                for held in part.sources.values():
                    self._counts["records"] += held.rows + held.dead_letters
                    self._counts["dead_letters"] += held.dead_letters + held.failed
                    self._counts["files_done"] += held.failed
            elif name.startswith(f"files-{run}-"):
                self._counts["files_done"] += len(read_file_records(root, name))
        except FileNotFoundError:  # taken back since it was listed
            return

    def line(self) -> str:
        """Returns in words how far the run is."""
        numbers = self.numbers()
        return (
            f"Committed: {numbers['records']:,} records; "
            f"{numbers['files_done']:,} of {numbers['files']:,} files are done."
        )

    @contextmanager
    def showing(
        self,
        quiet: bool,
        stream: TextIO | None = None,
        every: float = SECONDS_BETWEEN_LINES,
    ) -> Iterator[None]:
        """Writes a line now and then, unless it is to be quiet, within the ``with`` block.

        Args:
            quiet: Whether to write none.
            stream: Where to write, by default stderr.
            every: Seconds between two lines.
        """
        ended = threading.Event()

        def show() -> None:
            while not ended.wait(every):
                try:
                    print(self.line(), file=stream or sys.stderr, flush=True)
                except (OSError, ConfigurationError):  # the run will fail of it, and say why
                    return

        thread = threading.Thread(target=show, name="following", daemon=True)
        if not quiet:
            thread.start()
        try:
            yield
        finally:
            ended.set()
            if not quiet:
                thread.join()
