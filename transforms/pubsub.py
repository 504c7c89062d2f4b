"""A source without an end: messages of Pub/Sub, as Beam reads them on Dataflow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.timestamp import Timestamp

from transforms.messages import Message, from_pubsub
from transforms.pulls import Pull, make_pull

PULL_MESSAGES = 1000
PULL_BYTES = 1 << 24
"""What one pull holds, if the engine has so much at hand."""


@dataclass
class PullFromPubSub(beam.PTransform):  # type: ignore[misc]
    """Begins a pipeline with the messages of a subscription, for Dataflow alone.

    Beam's local engines do not read them: Prism refuses, FnApiRunner ends with nothing, and the old
    DirectRunner acknowledges at once.

    What one bundle has is a pull, a source of its own with a name that is drawn anew;
    ``ReadMessages`` makes records of it. A bundle that is tried again draws another name, and the
    engine drops what came of the first attempt with that attempt; the steps that write are keyed,
    so they get what the engine has written down.

    Dataflow acknowledges a message once it has written down what the steps up to the first keyed
    one have made of it: before it is embedded. From then on it lies in the job. A job that is
    drained finishes it, one that is cancelled loses it.

    Attributes:
        subscription: ``projects/P/subscriptions/S``.
        id_label: Attribute that tells a message that was published twice from two messages; None
            for Pub/Sub's own id, which tells one that was delivered twice.
    """

    subscription: str
    id_label: str | None = None

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[Pull]:
        """Returns the pulls."""
        from apache_beam.io.gcp.pubsub import ReadFromPubSub  # which looks for Google's client

        read = ReadFromPubSub(
            subscription=self.subscription, id_label=self.id_label, with_attributes=True
        )
        return begin | "Receive" >> read | "Pull" >> GroupPulls(self.subscription)


@dataclass
class GroupPulls(beam.PTransform):  # type: ignore[misc]
    """Makes a pull of the ``PubsubMessage`` elements of a bundle, or several if it is large.

    Attributes:
        subscription: Where they come from.
        most: Messages of a pull.
        most_bytes: And the bytes of their data.
    """

    subscription: str
    most: int = PULL_MESSAGES
    most_bytes: int = PULL_BYTES

    def expand(self, messages: beam.PCollection[Any]) -> beam.PCollection[Pull]:
        """Returns the pulls."""
        dofn = _GroupPullsDoFn(self.subscription, self.most, self.most_bytes)
        return messages | beam.ParDo(dofn).with_output_types(Pull)


class _GroupPullsDoFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self, subscription: str, most: int, most_bytes: int) -> None:
        self._subscription = subscription
        self._most, self._most_bytes = most, most_bytes

    def start_bundle(self) -> None:
        self._held: list[Message] = []
        self._size = 0
        self._since = Timestamp(0)

    def process(self, element: Any, timestamp: Any = beam.DoFn.TimestampParam) -> Iterator[Pull]:
        self._since = min(self._since, timestamp) if self._held else timestamp
        self._held.append(message := from_pubsub(element))
        self._size += len(message.data)
        if len(self._held) >= self._most or self._size >= self._most_bytes:
            yield self._take()

    def finish_bundle(self) -> Iterator[Any]:
        if self._held:
            since = self._since
            yield GlobalWindows.windowed_value(self._take(), since)

    def _take(self) -> Pull:
        pull = make_pull(self._subscription, self._held)
        self._held, self._size = [], 0
        return pull
