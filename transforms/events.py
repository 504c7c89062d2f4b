"""What happens during a run, as one stream of events to which listeners subscribe.

Progress bars and logs are listeners; the steps only say what they did. Listeners live in the
process in which they subscribe, which on a local run is that of the steps; elsewhere nobody
listens and an event costs nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""


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
    """A file is going to be read."""

    source: str


@dataclass(frozen=True, slots=True)
class FileOpened(Event):
    """A file was read to its end once; its records follow."""

    source: str
    size: int
    records: int
    residues: int


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


@dataclass(frozen=True, slots=True)
class RecordsEmbedded(Event):
    """The model has computed vectors; ``residues`` counts whole sequences."""

    records: int
    residues: int


@dataclass(frozen=True, slots=True)
class RecordsSkipped(Event):
    """Records were found in a committed part."""

    records: int
    residues: int


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


@dataclass(frozen=True, slots=True)
class PartCommitted(Event):
    """A part and its commit record are on disk."""

    part: str
    rows: int
    dead_letters: int


@dataclass(frozen=True, slots=True)
class FileFinished(Event):
    """Every record of a file is settled and its ``.pt`` is on disk."""

    source: str
    rows: int
    dead_letters: int


@dataclass(frozen=True, slots=True)
class ModelLoaded(Event):
    """A model was read into memory."""

    model: str
    device: str
    dtype: str
    attention: str
    seconds: float


@dataclass(frozen=True, slots=True)
class OutOfMemory(Event):
    """The device could not take a pass of this many records; it is taken in halves."""

    records: int


Listener = Callable[[Event], None]
_listeners: list[Listener] = []


# Passes on a CPU end in several threads; listeners need not know.
_telling = threading.RLock()


def emit(event: Event) -> None:
    """Tells every listener of this process, one event after the other."""
    with _telling:
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
