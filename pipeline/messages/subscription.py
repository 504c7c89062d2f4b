"""A Pub/Sub subscription; with ``topic.py`` all that knows Google's client."""

from __future__ import annotations

import importlib
import logging
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from transforms.errors import ConfigurationError
from transforms.messages import Message, from_pubsub

SECONDS_TO_ANSWER = 10.0
SECONDS_TO_RETRY = 1.0
_IDS_AT_ONCE = 1000  # a request may have 512 KiB

_NAME = r"projects/[^/]+/{}/[A-Za-z][A-Za-z0-9._~+%-]{{2,254}}"

logger = logging.getLogger(__name__)


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
    """

    def __init__(
        self, name: str, client: Any, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self.name = name
        self.topic = ""
        self._client = client
        self._sleep = sleep
        self._has_warned = False

    @property
    def short_name(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]

    def check(self) -> None:
        """Makes sure that there is such a subscription.

        Raises:
            ConfigurationError: There is none, or nobody answers.
        """
        from google.api_core import exceptions as errors

        try:
            found = self._client.get_subscription(
                request={"subscription": self.name}, timeout=SECONDS_TO_ANSWER, retry=None
            )
            self.topic = found.topic
        except errors.PermissionDenied:
            logger.debug("May not look it up; may still pull from it.", exc_info=True)
        except errors.NotFound as error:
            _, project, _, short_name = self.name.split("/")
            raise ConfigurationError(
                f"There is no subscription {self.name}. Create it (gcloud pubsub subscriptions "
                f"create {short_name} --project {project} --topic TOPIC), or give another name."
            ) from error
        except errors.GoogleAPIError as error:
            raise ConfigurationError(
                f"{self.name} cannot be reached ({error}). See that the network, or the emulator "
                "that PUBSUB_EMULATOR_HOST names, answers, and give the command again."
            ) from error

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
            return []
        except (errors.NotFound, errors.Forbidden, errors.Unauthorized, errors.BadRequest) as error:
            raise ConfigurationError(
                f"{self.name} cannot be pulled from: {error}. Mend that; the same command carries "
                "on, and what was not acknowledged comes again."
            ) from error
        except errors.GoogleAPIError as error:
            self._warn("cannot be pulled from now and is tried again", error)
            self._sleep(SECONDS_TO_RETRY)
            return []
        self._has_warned = False
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
            self._warn(what, error)

    def _warn(self, what: str, error: Exception) -> None:
        if not self._has_warned:  # once, until it works again
            logger.warning("%s %s: %s", self.name, what, error)
        self._has_warned = True


def check_name(name: str, option: str = "input_subscription", kind: str = "subscriptions") -> None:
    """Makes sure that a text names a subscription, or what else there is of ``kind``.

    Raises:
        ConfigurationError: It does not.
    """
    if not re.fullmatch(_NAME.format(kind), name):
        raise ConfigurationError(f"--{option} is projects/PROJECT/{kind}/NAME, not {name!r}.")


def make_client(kind: str, option: str, name: str) -> Any:
    """Returns a client of Google's; ``PUBSUB_EMULATOR_HOST`` is heeded.

    Args:
        kind: ``SubscriberClient`` or ``PublisherClient``.
        option: What asks for it.
        name: What is to be reached with it.

    Raises:
        ConfigurationError: It is not installed, or has no credentials.
    """
    try:
        clients = importlib.import_module("google.cloud.pubsub_v1")
        from google.auth.exceptions import GoogleAuthError
    except ImportError as error:
        raise ConfigurationError(
            f"--{option} needs google-cloud-pubsub ({error}). "
            f"Install it: {sys.executable} -m pip install google-cloud-pubsub"
        ) from error
    try:
        return getattr(clients, kind)()
    except GoogleAuthError as error:
        raise ConfigurationError(
            f"{name} cannot be reached ({error}). Give credentials, e.g. by gcloud auth "
            "application-default login."
        ) from error


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
