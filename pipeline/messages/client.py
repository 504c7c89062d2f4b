"""Google's client of Pub/Sub: how one is made, and what its errors mean in words."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transforms.errors import ConfigurationError

SECONDS_TO_ANSWER = 10.0
SECONDS_TO_RETRY = 1.0

logger = logging.getLogger(__name__)


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


@contextmanager
def looking_up(name: str, more: str = "") -> Iterator[None]:
    """Says what is wrong where something is looked up; that one may not is nothing.

    Args:
        name: ``projects/P/subscriptions/S`` or ``projects/P/topics/T``.
        more: What else it takes to create it, as options of ``gcloud``.

    Raises:
        ConfigurationError: There is none, or nobody answers.
    """
    from google.api_core import exceptions as errors

    try:
        yield
    except errors.PermissionDenied:
        logger.debug("May not look up %s; may still use it.", name, exc_info=True)
    except errors.NotFound as error:
        _, project, kind, short_name = name.split("/")
        raise ConfigurationError(
            f"There is no {kind.removesuffix('s')} {name}. Create it (gcloud pubsub {kind} create "
            f"{short_name} --project {project}{more}), or give another name."
        ) from error
    except errors.GoogleAPIError as error:
        raise ConfigurationError(
            f"{name} cannot be reached ({error}). See that the network, or the emulator that "
            "PUBSUB_EMULATOR_HOST names, answers, and give the command again."
        ) from error


class Trouble:
    """What does not get through for now: told of once, until something does again.

    Args:
        name: With what.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._is_told = False

    def tell(self, what: str, error: Exception) -> None:
        """Tells of an error, unless one was told of since the last success."""
        if not self._is_told:
            logger.warning("%s %s: %s", self._name, what, error)
        self._is_told = True

    def is_over(self) -> None:
        """Takes note of a success."""
        self._is_told = False
