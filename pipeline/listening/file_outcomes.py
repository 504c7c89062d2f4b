"""What becomes of the files of a run, as it is told of while the run goes on."""

from __future__ import annotations

from transforms import events


class FileOutcomes:
    """Listens to a run and takes note of its files.

    Attributes:
        begun: The file that was begun last; empty before the first.
        finished: What was told of each finished file.
        failed: Why, in a word, each file failed that could not be read.
        parts: The parts that were committed, in order.
    """

    def __init__(self) -> None:
        self.begun = ""
        self.finished: dict[str, events.FileFinished] = {}
        self.failed: dict[str, str] = {}
        self.parts: list[str] = []

    def __call__(self, event: events.Event) -> None:
        """Takes note of an event."""
        match event:
            case events.FileBegun(source=source):
                self.begun = source
            case events.FileFinished(source=source):
                self.finished[source] = event
            case events.RecordFailed(ordinal=None, source=source, error_type=error_type):
                self.failed[source] = error_type
            case events.PartCommitted(part=part):
                self.parts.append(part)
