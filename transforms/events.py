"""What happens during a run, as one stream of events to which listeners subscribe.

Progress bars and logs are listeners; the steps only say what they did. Listeners live in the
process in which they subscribe, which on a local run is that of the steps. Beam's metrics are
counted everywhere, on workers too. An event says itself what it adds to the metrics, so that Beam
and the listeners cannot differ.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from transforms.beam_metrics import count
from transforms.measures import Measure


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""

    def measures(self) -> tuple[Measure, ...]:
        """Returns what it adds to the metrics."""
        return ()


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """All checks have passed; these files, of together ``size`` bytes, are to be embedded."""

    run: str
    output: str
    files: int
    size: int


@dataclass(frozen=True, slots=True)
class RunEnded(Event):
    """A run is over.

    Attributes:
        run: Name of the run.
        exit_code: Of the process.
        embedded: Rows of the output.
        dead_letters: Its failed records and files.
        seconds: What the graph took.
    """

    run: str
    exit_code: int
    embedded: int
    dead_letters: int
    seconds: float


@dataclass(frozen=True, slots=True)
class FileBegun(Event):
    """A file is going to be read; ``size`` is what it was listed with."""

    source: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class FileOpened(Event):
    """A file was read to its end once; its records follow.

    To a shard not all of them fall: it tells of an even share.
    """

    source: str
    size: int
    records: int
    residues: int

    def measures(self) -> tuple[Measure, ...]:
        """See :meth:`Event.measures`."""
        return (
            Measure("files_opened"),
            Measure("input_bytes", self.size),
            Measure("records_read", self.records),
            Measure("residues_read", self.residues),
        )


@dataclass(frozen=True, slots=True)
class BatchFilled(Event):
    """A batch with something for the model was sent on: it costs ``tokens``, of ``budget``."""

    tokens: int
    budget: int

    def measures(self) -> tuple[Measure, ...]:
        """See :meth:`Event.measures`."""
        return (Measure("batch_fill_ratio", self.tokens / self.budget),)


@dataclass(frozen=True, slots=True)
class PassComputed(Event):
    """The model was run once.

    Attributes:
        sequences: How many sequences it was given.
        tokens: Their tokens, with BOS and EOS.
        slots: Tokens that were computed, with padding.
        seconds: From arrays in memory to vectors in memory; other passes may run meanwhile.
    """

    sequences: int
    tokens: int
    slots: int
    seconds: float

    def measures(self) -> tuple[Measure, ...]:
        """See :meth:`Event.measures`."""
        return (
            Measure("passes"),
            Measure("tokens", self.tokens),
            Measure("padding_tokens", self.slots - self.tokens),
            Measure("pass_seconds", self.seconds),
        )


@dataclass(frozen=True, slots=True)
class RecordsEmbedded(Event):
    """The model has computed vectors; ``residues`` counts whole sequences."""

    records: int
    residues: int

    def measures(self) -> tuple[Measure, ...]:
        """See :meth:`Event.measures`."""
        return (
            Measure("records_embedded", self.records),
            Measure("residues_embedded", self.residues),
        )


@dataclass(frozen=True, slots=True)
class RecordsSkipped(Event):
    """Records were found in a committed part."""

    records: int
    residues: int

    def measures(self) -> tuple[Measure, ...]:
        """See :meth:`Event.measures`."""
        return (Measure("records_skipped", self.records),)


@dataclass(frozen=True, slots=True)
class RecordFailed(Event):
    """A record, or with ``ordinal`` None a whole file, became a dead letter."""

    source: str
    ordinal: int | None
    id: str
    residues: int
    stage: str
    error_type: str
    message: str

    def measures(self) -> tuple[Measure, ...]:
        """See :meth:`Event.measures`."""
        letter = Measure("dead_letters", 1, (self.stage, self.error_type))
        return (letter,) if self.ordinal is not None else (letter, Measure("files_failed"))


@dataclass(frozen=True, slots=True)
class PartCommitted(Event):
    """A part and its commit record are on disk."""

    part: str
    rows: int
    dead_letters: int

    def measures(self) -> tuple[Measure, ...]:
        """See :meth:`Event.measures`."""
        return Measure("parts_committed"), Measure("rows_committed", self.rows)


@dataclass(frozen=True, slots=True)
class FileFinished(Event):
    """Every record of a file is settled and its ``.pt`` is on disk.

    Attributes:
        source: The file.
        rows: How many of its records were embedded.
        dead_letters: How many failed.
        seconds: Since it was complete: since a watch knows that it was, or else since it was found.
    """

    source: str
    rows: int
    dead_letters: int
    seconds: float

    def measures(self) -> tuple[Measure, ...]:
        """See :meth:`Event.measures`."""
        return Measure("files_finished"), Measure("file_latency_seconds", self.seconds)


@dataclass(frozen=True, slots=True)
class ModelLoaded(Event):
    """A model was read into memory."""

    model: str
    device: str
    dtype: str
    attention: str
    seconds: float

    def measures(self) -> tuple[Measure, ...]:
        """See :meth:`Event.measures`."""
        return (Measure("model_loads"),)


@dataclass(frozen=True, slots=True)
class OutOfMemory(Event):
    """The device could not take a pass of this many records; it is taken in halves."""

    records: int

    def measures(self) -> tuple[Measure, ...]:
        """See :meth:`Event.measures`."""
        return (Measure("out_of_memory"),)


Listener = Callable[[Event], None]
_listeners: list[Listener] = []


# Memory may run out in several threads at a time; listeners need not know.
_telling = threading.RLock()


def emit(event: Event) -> None:
    """Counts an event and tells every listener of this process, one event after the other."""
    with _telling:
        count(event.measures())
        for listener in _listeners:
            listener(event)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Subscribes a listener for the time of a ``with`` block."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
