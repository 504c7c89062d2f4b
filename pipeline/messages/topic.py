"""A Pub/Sub topic that is published to; with ``subscription.py`` all that knows Google's client."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from pipeline.messages.subscription import SECONDS_TO_ANSWER, SECONDS_TO_RETRY, make_client
from transforms.errors import ConfigurationError
from transforms.results import MAX_ATTRIBUTES, MESSAGE_BYTES, Outgoing

SECONDS_TO_PUBLISH = 60.0
_MESSAGES_AT_ONCE = 1000
_BYTES_AT_ONCE = MESSAGE_BYTES + MAX_ATTRIBUTES * (256 + 1024)  # what one message can have

logger = logging.getLogger(__name__)


class StoppedError(Exception):
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
        self._has_warned = False

    def check(self) -> None:
        """Makes sure that there is such a topic.

        Raises:
            ConfigurationError: There is none, or nobody answers.
        """
        from google.api_core import exceptions as errors

        try:
            self._client.get_topic(
                request={"topic": self.name}, timeout=SECONDS_TO_ANSWER, retry=None
            )
        except errors.PermissionDenied:
            logger.debug("May not look it up; may still publish to it.", exc_info=True)
        except errors.NotFound as error:
            _, project, _, short_name = self.name.split("/")
            raise ConfigurationError(
                f"There is no topic {self.name}. Create it (gcloud pubsub topics create "
                f"{short_name} --project {project}), or give another name."
            ) from error
        except errors.GoogleAPIError as error:
            raise ConfigurationError(
                f"{self.name} cannot be reached ({error}). See that the network, or the emulator "
                "that PUBSUB_EMULATOR_HOST names, answers, and give the command again."
            ) from error

    def publish(self, messages: Iterable[Outgoing], is_to_end: Callable[[], bool]) -> None:
        """Publishes messages; what the network does not let through is tried again for ever.

        Each is published at least once.

        Args:
            messages: The messages.
            is_to_end: Tells whether not to try again.

        Raises:
            StoppedError: It was told so.
            ConfigurationError: Nothing can be published: the topic is gone, closed to us, or
                refuses such messages.
        """
        for portion in _portions(messages):
            while not self._try_to_publish(portion):
                if is_to_end():
                    raise StoppedError(f"{self.name} cannot be published to")
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
            if not self._has_warned:  # once, until it works again
                logger.warning(
                    "%s cannot be published to now and is tried again: %s", self.name, error
                )
            self._has_warned = True
            return False
        self._has_warned = False
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
