"""Signals: the first one drains a run, the second one ends it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from transforms.reading import clear_stop, request_stop
from transforms.under_way import clear_notes


@contextmanager
def draining(root: str, runs: str = "") -> Iterator[list[int]]:
    """Turns the first SIGINT, SIGTERM or SIGHUP into a drain; a second one ends the process.

    SIGHUP comes when a terminal is closed; under nohup it is ignored, and stays so.

    Args:
        root: The output root.
        runs: How the names of the runs begin that it stops; empty for all that are at work there.

    Yields:
        The signals received.
    """
    received: list[int] = []
    previous: dict[int, Any] = {}

    def drain(number: int, frame: FrameType | None) -> None:
        received.append(number)
        request_stop()
        # So that a second signal, which ends the process at once, is not taken for a death.
        clear_notes(root, runs)
        print("Stopping: finishing what was read. Again to stop at once.", file=sys.stderr)
        for each in previous:
            signal.signal(each, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            continue
        previous[number] = signal.signal(number, drain)
    try:
        yield received
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)
        clear_stop()
