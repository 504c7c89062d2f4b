"""A subscription and a topic in memory: what is not acknowledged is delivered again."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline import run
from pipeline.messages.subscription import Delivery
from pipeline.messages.topic import UnpublishedError
from tests.command import exit_code_of
from transforms.messages import Message
from transforms.results import Outgoing


def make_message(number: int, data: str | bytes, **attributes: str) -> Message:
    content = data.encode() if isinstance(data, str) else data
    return Message(str(number), f"2026-01-31T12:00:{number % 60:02}.000001Z", attributes, content)


def subscribe(monkeypatch: pytest.MonkeyPatch, *messages: Message) -> FakeSubscription:
    """Has runs of this process find a subscription with some messages."""
    fake = FakeSubscription(*messages)
    monkeypatch.setattr("pipeline.dispatch.open_subscription", lambda name: fake)
    return fake


def receive(output: Path, *more: object) -> int:
    """Embeds what the subscription holds, until nothing comes; returns the exit code."""
    return exit_code_of(
        run.main, "--input_subscription", FakeSubscription.name, "--output", output,
        "--model", "demo", "--quiet", "--stop_after", 0.2, "--max_batch_wait", 0.01, *more,
    )  # fmt: skip


class FakeSubscription:
    """Does as :class:`pipeline.messages.subscription.Subscription` does.

    Attributes:
        acknowledged: Ids of the messages that were, in order.
        before_acknowledging: Called with the ids of the messages, before each acknowledgement.
    """

    name = "projects/proj/subscriptions/sub"
    short_name = "sub"
    topic = "projects/proj/topics/inbox"
    is_answering = True

    def __init__(self, *messages: Message) -> None:
        self.waiting = list(messages)
        self.held: dict[str, Message] = {}
        self.acknowledged: list[str] = []
        self.extended: list[tuple[list[str], int]] = []
        self.before_acknowledging: Callable[[list[str]], object] = lambda ids: None
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def answers(self) -> bool:
        return self.is_answering

    def pull(self, most: int, seconds: float) -> list[Delivery]:
        with self._lock:
            pulled = [Delivery(f"ack{next(self._numbers)}", m) for m in self.waiting[:most]]
            del self.waiting[:most]
            self.held |= {each.ack_id: each.message for each in pulled}
        return pulled

    def acknowledge(self, ack_ids: Sequence[str]) -> None:
        self.before_acknowledging([self.held[ack_id].id for ack_id in ack_ids])
        with self._lock:
            self.acknowledged += [self.held.pop(ack_id).id for ack_id in ack_ids]

    def extend(self, ack_ids: Sequence[str], seconds: int) -> None:
        with self._lock:
            self.extended.append((list(ack_ids), seconds))
            if seconds == 0:
                self.waiting += [self.held.pop(ack_id) for ack_id in ack_ids]

    def expire(self) -> None:
        """Has everything delivered again that is not acknowledged."""
        with self._lock:
            self.waiting += self.held.values()
            self.held.clear()


class FakeTopic:
    """Does as :class:`pipeline.messages.topic.Topic` does.

    Attributes:
        published: The messages that were, in order.
        before_publishing: Called before each call.
        is_away: Whether nothing gets through, and it is waited for the end.
    """

    def __init__(self) -> None:
        self.published: list[Outgoing] = []
        self.before_publishing: Callable[[], object] = lambda: None
        self.is_away = False

    def publish(self, messages: Iterable[Outgoing], is_to_end: Callable[[], bool]) -> None:
        self.before_publishing()
        if self.is_away:
            assert is_to_end()
            raise UnpublishedError("it cannot be published to")
        self.published += messages

    def contents(self) -> list[dict[str, Any]]:
        return [json.loads(message.data) for message in self.published]
