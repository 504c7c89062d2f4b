"""What happens during a run, as lines of JSON in a file."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from pipeline.outputs import FOLDERS, check_outside
from pipeline.runners import is_heard
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


def check_event_log(path: str | None, output: str, beam_args: Sequence[str]) -> None:
    """Makes sure that there will be something to write, and where nobody takes it for rows.

    Raises:
        ConfigurationError: The steps will run in other processes, or it lies among the parts.
    """
    if path is None:
        return
    for folder in FOLDERS:
        check_outside(
            storage.absolute(path), storage.join(storage.absolute(output), folder), "--event_log"
        )
    if not is_heard(beam_args):
        raise ConfigurationError(
            "--event_log tells what happens in this process, and with these options the records "
            "are embedded in others. Leave it out, or run on the local runner."
        )


@contextmanager
def logging_events(path: str | None) -> Iterator[None]:
    """Appends what happens within the ``with`` block to a file.

    Args:
        path: A local file; None for no log.

    Raises:
        ConfigurationError: It cannot be written.
    """
    if path is None:
        yield
        return
    try:
        stream = storage.open_log(path)
    except OSError as error:
        raise ConfigurationError(
            f"--event_log {path} cannot be written ({error.strerror}). Give another file."
        ) from error
    with stream, events.listening(EventLog(stream)):
        yield
