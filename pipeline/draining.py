"""Signals: the first one drains a run, the second one ends it."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from types import FrameType

from pipeline.terminal import say_aside
from transforms.esm.under_way import clear_notes
from transforms.inputs.stopping import clear_stop, request_end, request_stop, withdraw_end
from transforms.output.commits import Output

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

logger = logging.getLogger(__name__)


@contextmanager
def handling_signals(handle: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Has the signals that are to end a run handled, within the ``with`` block.

    SIGHUP comes when a terminal is closed; under nohup it is ignored, and stays so.
    """
    previous = {
        number: signal.signal(number, handle)
        for number in _ENDING
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def draining(
    root: str, runs: str = "", and_then: Callable[[], object] | None = None
) -> Iterator[list[int]]:
    """Turns the first SIGINT, SIGTERM or SIGHUP into a drain; a second one ends the process.

    Args:
        root: The output root.
        runs: How the names of the runs begin that it stops; empty for all that are at work there.
        and_then: Called with the first signal, by a thread of its own.

    Yields:
        The signals received.
    """
    received: list[int] = []

    def drain(number: int, frame: FrameType | None) -> None:
        received.append(number)
        request_stop()
        # So that a second signal, which ends the process at once, is not taken for a death.
        try:
            clear_notes(root, runs)
        except OSError as error:  # no reason to end at once
            logger.warning(
                "A second signal would count as a death of the records under way: %s", error
            )
        say_aside("Stopping: finishing what was read. Again to stop at once.")
        for each in _ENDING:
            if signal.getsignal(each) is drain:
                signal.signal(each, signal.SIG_DFL)
        if and_then:
            Thread(target=and_then, name="drain", daemon=True).start()

    try:
        with handling_signals(drain):
            yield received
    finally:
        clear_stop()


@contextmanager
def draining_elsewhere(output: Output) -> Iterator[list[int]]:
    """As :func:`draining`, where what reads is in other processes, or on other machines.

    Args:
        output: Where they look whether they are to end.

    Yields:
        The signals received.
    """

    def tell() -> None:
        try:
            request_end(output)
        except OSError as error:
            logger.error("The workers cannot be told to stop: %s. They go on to the end.", error)

    with draining(output.root, and_then=tell) as received:
        try:
            yield received
        finally:
            withdraw_end(output)
