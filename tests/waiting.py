"""What goes on beside a command that runs in this process, and waiting for what it does."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from transforms import events

SECONDS_TO_HANG = 120


def wait_for(is_true: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS_TO_HANG
    while True:
        try:
            if is_true():
                return
        except FileNotFoundError:
            pass  # replaced while it was read: the next look finds what is there instead
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.01)


@contextmanager
def feeding(feed: Callable[[], None]) -> Iterator[None]:
    """Does something in another thread; what goes wrong there is raised at the end."""
    wrong: list[BaseException] = []

    def run() -> None:
        try:
            feed()
        except BaseException as error:  # noqa: BLE001
            wrong.append(error)
            os.kill(os.getpid(), signal.SIGTERM)  # else a watch would wait for it

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join(SECONDS_TO_HANG)
    if wrong:
        raise wrong[0]
    assert not thread.is_alive()


def at_each(
    kinds: type[events.Event] | tuple[type[events.Event], ...], act: Callable[[Any], object]
) -> AbstractContextManager[None]:
    """Does something at each event of some kinds, in the step that tells of it."""
    return events.listening(lambda event: isinstance(event, kinds) and act(event))


@contextmanager
def heard(*kinds: type[events.Event]) -> Iterator[list[Any]]:
    """Collects the events of some kinds."""
    found: list[Any] = []
    with at_each(kinds, found.append):
        yield found


def once(act: Callable[[Any], object]) -> Callable[[Any], object]:
    """Does something at the first event alone."""
    first = iter([act])
    return lambda event: [each(event) for each in first]


def stop(_: object = None) -> None:
    """Does as a scheduler does that wants this process to end."""
    os.kill(os.getpid(), signal.SIGTERM)
