"""What happens during a run, as lines of JSON in a file."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from pipeline.outputs import FOLDERS, check_outside
from transforms import events, storage
from transforms.errors import ConfigurationError
from transforms.times import now

logger = logging.getLogger(__name__)


class EventLog:
    """Writes an object for each event: ``time``, ``event``, and the event's own fields.

    Args:
        stream: Where to; a line is there as soon as its event has happened.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream

    def __call__(self, event: events.Event) -> None:
        """Takes note of an event."""
        if self._stream is None:
            return
        fields = dataclasses.asdict(event)
        line = {"time": now("milliseconds"), "event": type(event).__name__, **fields}
        try:
            # In one call, so that no other thread writes into a line.
            self._stream.write(json.dumps(line) + "\n")
            self._stream.flush()
        except OSError as error:  # no reason to lose the run
            self._stream = None
            logger.warning("The event log ends here: %s", error)


def check_event_log(path: str, output: str) -> None:
    """Makes sure that the file does not lie among the parts of an output.

    Raises:
        ConfigurationError: It does.
    """
    for folder in FOLDERS:
        check_outside(
            storage.absolute(path), storage.join(storage.absolute(output), folder), "--event_log"
        )


@contextmanager
def logging_events(path: str | None, output: str) -> Iterator[None]:
    """Appends what happens within the ``with`` block to a file.

    Args:
        path: A local file; None for no log.
        output: The output root, among whose parts it may not lie.

    Raises:
        ConfigurationError: It lies there, or cannot be written.
    """
    if path is None:
        yield
        return
    check_event_log(path, output)
    try:
        stream = storage.open_log(path)
    except OSError as error:
        raise ConfigurationError(
            f"--event_log {path} cannot be written ({error.strerror}). Give another file."
        ) from error
    with stream, events.listening(EventLog(stream)):
        yield
