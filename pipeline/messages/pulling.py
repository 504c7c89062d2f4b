"""What a round gets: the messages of some seconds, which stay ours until they are done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from pipeline.messages.subscription import Delivery, Subscription

ROUND_MESSAGES = 1000
ROUND_BYTES = 1 << 24
IDLE_SECONDS = 2.0
"""How long one request waits for a first message. Also how long a signal may not be heeded."""

LEASE_SECONDS = 30
"""For how long messages are ours at a time; so long those of a process that was killed are nobody's
but those that have not come to a round, which are free after the subscription's own deadline."""

_RENEWALS = 3  # in the time of a lease
_SHORTEST_LEASE = 10.0  # that a subscription gives by itself


def pull_round(
    subscription: Subscription,
    wait: float,
    is_to_end: Callable[[], bool],
    clock: Callable[[], float] = time.monotonic,
) -> list[Delivery]:
    """Pulls what comes within some seconds after the first message, or as much as a round takes.

    Args:
        subscription: Where from.
        wait: Those seconds.
        is_to_end: Tells whether not to wait for more.
        clock: Seconds; replaced by tests.

    Returns:
        What was pulled; nothing if nothing came for a while.
    """
    held: list[Delivery] = []
    size = 0
    end = renewed = 0.0
    while len(held) < ROUND_MESSAGES and size < ROUND_BYTES and not is_to_end():
        left = end - clock() if held else IDLE_SECONDS
        if left <= 0:
            break
        pulled = subscription.pull(ROUND_MESSAGES - len(held), min(left, IDLE_SECONDS))
        if not pulled and not held:
            break
        if not held:
            renewed = clock()
            end = renewed + wait
        held += pulled
        size += sum(len(each.message.data) for each in pulled)
        if clock() - renewed > _SHORTEST_LEASE / _RENEWALS:
            renewed = clock()
            subscription.extend([each.ack_id for each in held], LEASE_SECONDS)
    return held


@contextmanager
def leased(
    subscription: Subscription, ack_ids: Sequence[str], seconds: int = LEASE_SECONDS
) -> Iterator[None]:
    """Keeps messages from being delivered again, for the time of a ``with`` block.

    If it fails they are given back: they are delivered again at once.
    """
    ended = threading.Event()

    def extend() -> None:
        subscription.extend(ack_ids, seconds)
        while not ended.wait(seconds / _RENEWALS):
            subscription.extend(ack_ids, seconds)

    thread = threading.Thread(target=extend, name="lease", daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        ended.set()
        thread.join()  # it must not take back what is given back
        subscription.extend(ack_ids, 0)
        raise
    ended.set()
    thread.join()
