"""What becomes of the files of a run, as it is told of while the run goes on."""

from __future__ import annotations

from transforms import events


class FileOutcomes:
    """Listens to a run and takes note of its files.

    Attributes:
        begun: The file that was begun last; empty before the first.
        finished: What was told of each finished file.
        failed: The files that could not be read.
        parts: The parts that were committed, in order.
    """

    def __init__(self) -> None:
        self.begun = ""
        self.finished: dict[str, events.FileFinished] = {}
        self.failed: set[str] = set()
        self.parts: list[str] = []

    def __call__(self, event: events.Event) -> None:
        """Takes note of an event."""
        match event:
            case events.FileBegun(source=source):
                self.begun = source
            case events.FileFinished(source=source):
                self.finished[source] = event
            case events.RecordFailed(ordinal=None, source=source):
                self.failed.add(source)
            case events.PartCommitted(part=part):
                self.parts.append(part)
