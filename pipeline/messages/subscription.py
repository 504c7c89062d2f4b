"""A Pub/Sub subscription: messages are pulled from it and acknowledged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pipeline.messages.client import (
    SECONDS_TO_ANSWER,
    SECONDS_TO_RETRY,
    Trouble,
    looking_up,
    make_client,
)
from transforms.errors import ConfigurationError
from transforms.messages import Message, from_pubsub

_IDS_AT_ONCE = 1000  # a request may have 512 KiB


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that was delivered.

    Attributes:
        ack_id: What this delivery is acknowledged by; the next one of the message has another.
        message: The message.
    """

    ack_id: str
    message: Message


class Subscription:
    """What is needed of a subscription. For several threads at once.

    What the network does not let through is no failure: what cannot be pulled comes later, and what
    cannot be acknowledged comes again.

    Args:
        name: ``projects/P/subscriptions/S``.
        client: Google's ``SubscriberClient``, or what does as it does.
        sleep: Waits for some seconds; replaced by tests.

    Attributes:
        topic: Name of the topic that it is of, once that was looked up and may be known.
        is_answering: Whether the last pull got through.
    """

    def __init__(
        self, name: str, client: Any, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self.name = name
        self.topic = ""
        self.is_answering = True
        self._client = client
        self._sleep = sleep
        self._trouble = Trouble(name)

    @property
    def short_name(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]

    def check(self) -> None:
        """Makes sure that there is such a subscription.

        Raises:
            ConfigurationError: There is none, or nobody answers.
        """
        with looking_up(self.name, " --topic TOPIC"):
            found = self._client.get_subscription(
                request={"subscription": self.name}, timeout=SECONDS_TO_ANSWER, retry=None
            )
            self.topic = found.topic

    def answers(self) -> bool:
        """Tells whether somebody is there; that there is nothing to pull does not tell it."""
        try:
            self.check()
        except ConfigurationError as error:
            self._trouble.tell("may hold messages, and nobody answers", error)
            return False
        return True

    def pull(self, most: int, seconds: float) -> list[Delivery]:
        """Returns messages as soon as there are any; none when the time is up.

        Args:
            most: How many at the most.
            seconds: How long to wait for the first.

        Raises:
            ConfigurationError: No more can be pulled: the subscription is gone, or closed to us.
        """
        from google.api_core import exceptions as errors

        try:
            response = self._client.pull(
                request={"subscription": self.name, "max_messages": most},
                timeout=seconds,
                retry=None,
            )
        except errors.DeadlineExceeded:
            self.is_answering = True
            return []
        except (errors.NotFound, errors.Forbidden, errors.Unauthorized, errors.BadRequest) as error:
            raise ConfigurationError(
                f"{self.name} cannot be pulled from: {error}. Mend that; the same command carries "
                "on, and what was not acknowledged comes again."
            ) from error
        except errors.GoogleAPIError as error:
            self.is_answering = False
            self._trouble.tell("cannot be pulled from now and is tried again", error)
            self._sleep(SECONDS_TO_RETRY)
            return []
        self.is_answering = True
        self._trouble.is_over()
        return [
            Delivery(received.ack_id, from_pubsub(received.message))
            for received in response.received_messages
        ]

    def acknowledge(self, ack_ids: Sequence[str]) -> None:
        """Says that messages are done and need not be delivered again."""
        with self._forgiving("did not take an acknowledgement; its messages come again"):
            for ids in _portions(ack_ids):
                request = {"subscription": self.name, "ack_ids": ids}
                self._client.acknowledge(request=request, timeout=SECONDS_TO_ANSWER)

    def extend(self, ack_ids: Sequence[str], seconds: int) -> None:
        """Asks for some more seconds, from now on; with 0 the messages are delivered again."""
        with self._forgiving("gave no more time; its messages may come again"):
            for ids in _portions(ack_ids):
                self._client.modify_ack_deadline(
                    request={
                        "subscription": self.name,
                        "ack_ids": ids,
                        "ack_deadline_seconds": seconds,
                    },
                    timeout=SECONDS_TO_ANSWER,
                )

    @contextmanager
    def _forgiving(self, what: str) -> Iterator[None]:
        from google.api_core import exceptions as errors

        try:
            yield
        except errors.GoogleAPIError as error:
            self._trouble.tell(what, error)


def open_subscription(name: str) -> Subscription:
    """Returns a subscription that is there.

    Raises:
        ConfigurationError: Google's client is not installed or has no credentials, or there is no
            such subscription.
    """
    subscription = Subscription(name, make_client("SubscriberClient", "input_subscription", name))
    subscription.check()
    return subscription


def _portions(ack_ids: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(ack_ids), _IDS_AT_ONCE):
        yield list(ack_ids[start : start + _IDS_AT_ONCE])
