"""How far a run is: what the progress bar shows and the heartbeat tells."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from transforms import events


class Tally:
    """Listens to a run and counts.

    The residues of a file are known once it has been opened; those of the files still to come
    are reckoned from their bytes, so an ETA is there from the first file on and exact at the
    last. Of a file that cannot be read none are to come.

    Args:
        files: Files to be read.
        size: Bytes of these files.
        clock: Seconds; replaced by tests.

    Attributes:
        residues: Residues of the records that have an outcome.
        residues_skipped: How many of them earlier runs have committed.
    """

    def __init__(self, files: int, size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.residues = 0
        self.residues_skipped = 0
        self._files = files
        self._size = size
        self._clock = clock
        self._start = clock()
        self._files_done = 0
        self._records = 0
        self._dead_letters = 0
        self._opened_bytes = 0
        self._opened_residues = 0
        self._failed_bytes = 0
        self._begun: dict[str, int] = {}  # bytes of files of which nothing more is known yet

    def __call__(self, event: events.Event) -> None:
        """Takes note of an event."""
        match event:
            case events.FileBegun(source=source, size=size):
                self._begun[source] = size
            case events.FileOpened(source=source, size=size, residues=residues):
                self._begun.pop(source, None)
                self._opened_bytes += size
                self._opened_residues += residues
            case events.RecordsEmbedded(records=records, residues=residues):
                self._count(records, residues)
            case events.RecordsSkipped(records=records, residues=residues):
                self._count(records, residues)
                self.residues_skipped += residues
            case events.RecordFailed(ordinal=None, source=source):
                self._failed_bytes += self._begun.pop(source, 0)
                self._files_done += 1
            case events.FileFinished():
                self._files_done += 1
            case events.RecordFailed(residues=residues, stage=stage):
                self._dead_letters += 1
                # What fails validation was counted when it was embedded.
                if stage != "validate":
                    self._count(1, residues)

    def _count(self, records: int, residues: int) -> None:
        self._records += records
        self.residues += residues

    @property
    def residues_total(self) -> int:
        """Residues of the run, as far as is known."""
        if not self._opened_bytes:
            return 0
        rest = max(self._size - self._opened_bytes - self._failed_bytes, 0)
        reckoned = self._opened_residues + rest * self._opened_residues // self._opened_bytes
        return max(reckoned, self.residues)  # a shard's share may be more than an even one

    @property
    def seconds(self) -> float:
        """Seconds since the counting began."""
        return self._clock() - self._start

    def stop(self) -> None:
        """Ends the counting of seconds: what is idle gets no slower."""
        seconds = self.seconds
        self._clock = lambda: self._start + seconds

    def numbers(self) -> dict[str, float]:
        """Returns all counts by name, for the heartbeat."""
        return {
            "seconds": round(self.seconds, 3),
            "files": self._files,
            "files_done": self._files_done,
            "bytes": self._size,
            "records": self._records,
            "dead_letters": self._dead_letters,
            "residues": self.residues,
            "residues_skipped": self.residues_skipped,
            "residues_total": self.residues_total,
        }


def add_up(told: Sequence[Mapping[str, float]], shards: int) -> dict[str, float]:
    """Returns how far shards are together, each of which reads every file.

    Args:
        told: The numbers of those that have told any.
        shards: How many there are.
    """
    names = ("residues", "residues_skipped", "residues_total", "records")
    together = {name: sum(each.get(name, 0) for each in told) for name in names}
    for name, choose in (("files", max), ("files_done", min), ("seconds", max)):
        together[name] = choose((each.get(name, 0) for each in told), default=0)
    knowing = sum(
        each.get("residues_total", 0) > 0 or each.get("files_done", 0) >= each.get("files", 1)
        for each in told
    )
    if 0 < knowing < shards:  # of those that have opened no file yet an even share is to come
        together["residues_total"] *= shards / knowing
        together["files_done"] = 0
    return together
