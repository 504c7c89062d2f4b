"""A Pub/Sub topic that is published to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from pipeline.messages.client import (
    SECONDS_TO_ANSWER,
    SECONDS_TO_RETRY,
    Trouble,
    looking_up,
    make_client,
)
from transforms.errors import ConfigurationError
from transforms.results import MAX_ATTRIBUTES, MESSAGE_BYTES, Outgoing

SECONDS_TO_PUBLISH = 60.0
_MESSAGES_AT_ONCE = 1000
_BYTES_AT_ONCE = MESSAGE_BYTES + MAX_ATTRIBUTES * (256 + 1024)  # what one message can have


class UnpublishedError(Exception):
    """It was told to end while something could not be published."""


class Topic:
    """What is needed of a topic.

    Args:
        name: ``projects/P/topics/T``.
        client: Google's ``PublisherClient``, or what does as it does.
        send: Publishes one request at once. Not the client's own, which collects messages in the
            background and takes attributes as keywords, so that one may not be called ``data``.
        sleep: Waits for some seconds; replaced by tests.
    """

    def __init__(
        self,
        name: str,
        client: Any,
        send: Callable[..., object],
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.name = name
        self._client = client
        self._send = send
        self._sleep = sleep
        self._trouble = Trouble(name)

    def check(self) -> None:
        """Makes sure that there is such a topic.

        Raises:
            ConfigurationError: There is none, or nobody answers.
        """
        with looking_up(self.name):
            self._client.get_topic(
                request={"topic": self.name}, timeout=SECONDS_TO_ANSWER, retry=None
            )

    def publish(self, messages: Iterable[Outgoing], is_to_end: Callable[[], bool]) -> None:
        """Publishes messages; what the network does not let through is tried again for ever.

        Each is published at least once.

        Args:
            messages: The messages.
            is_to_end: Tells whether not to try again.

        Raises:
            UnpublishedError: It was told so.
            ConfigurationError: Nothing can be published: the topic is gone, closed to us, or
                refuses such messages.
        """
        for portion in _portions(messages):
            while not self._try_to_publish(portion):
                if is_to_end():
                    raise UnpublishedError(f"{self.name} cannot be published to")
                self._sleep(SECONDS_TO_RETRY)

    def _try_to_publish(self, messages: list[dict[str, object]]) -> bool:
        from google.api_core import exceptions as errors

        try:
            self._send(
                request={"topic": self.name, "messages": messages},
                timeout=SECONDS_TO_PUBLISH,
                retry=None,
            )
        except (errors.NotFound, errors.Forbidden, errors.Unauthorized, errors.BadRequest) as error:
            raise ConfigurationError(
                f"{self.name} cannot be published to: {error}. Mend that, or leave its option out."
            ) from error
        except errors.GoogleAPIError as error:
            self._trouble.tell("cannot be published to now and is tried again", error)
            return False
        self._trouble.is_over()
        return True


def open_topic(name: str, option: str) -> Topic:
    """Returns a topic that is there; ``PUBSUB_EMULATOR_HOST`` is heeded.

    Args:
        name: Its name.
        option: What asks for it.

    Raises:
        ConfigurationError: Google's client is not installed or has no credentials, or there is no
            such topic.
    """
    client = make_client("PublisherClient", option, name)
    from google.pubsub_v1 import PublisherClient

    topic = Topic(name, client, partial(PublisherClient.publish, client))
    topic.check()
    return topic


def _portions(messages: Iterable[Outgoing]) -> Iterator[list[dict[str, object]]]:
    held: list[dict[str, object]] = []
    size = 0
    for message in messages:
        texts = (text for pair in message.attributes.items() for text in pair)
        more = len(message.data) + sum(len(text.encode()) for text in texts)
        if held and (len(held) == _MESSAGES_AT_ONCE or size + more > _BYTES_AT_ONCE):
            yield held
            held, size = [], 0
        held.append({"data": message.data, "attributes": dict(message.attributes)})
        size += more
    if held:
        yield held
