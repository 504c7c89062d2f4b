"""From the messages of a pull to their records."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

import apache_beam as beam

from transforms import events, storage
from transforms.dead_letters import record_failed
from transforms.errors import ConfigurationError
from transforms.inputs.fasta import Counts
from transforms.inputs.finding import FastaFile
from transforms.inputs.reading import end_of, in_batches, item_of, place_of
from transforms.items import DeadLetter, Item, Protein
from transforms.messages import (
    Message,
    MessageError,
    Opened,
    decode_messages,
    encode_messages,
    open_message,
)

Of = TypeVar("Of", bound=Protein | DeadLetter)


PUBSUB = "pubsub"
"""Under which pulls are named."""


Pull = tuple[FastaFile, bytes]
"""A pull that no file holds: what it is called, and its messages as a file would hold them."""


def name_pull(subscription: str) -> str:
    """Returns a name for a new pull.

    Args:
        subscription: Short name of the subscription.
    """
    return f"{PUBSUB}/{subscription}/{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{uuid.uuid4().hex[:8]}"


def make_pull(subscription: str, messages: Sequence[Message]) -> Pull:
    """Returns a new pull.

    Args:
        subscription: Name of the subscription.
        messages: What was pulled.
    """
    data = encode_messages(messages)
    name = name_pull(subscription.rpartition("/")[2])
    return FastaFile(subscription, name, len(data), time.time()), data


class ReadMessages(beam.PTransform):  # type: ignore[misc]
    """Reads pulls: each becomes the records of its messages and an EndOfFile.

    Where a pull is a FastaFile, its messages lie in that file; a Pull has them with it.

    A message that holds no record counts as one, and is a DeadLetter. Other than ``ReadFasta`` it
    does not end at a stop, for a pull is small and its messages wait to be acknowledged.
    """

    def expand(self, pulls: beam.PCollection[FastaFile | Pull]) -> beam.PCollection[Item]:
        """Returns the records in batches, those of one pull in order."""
        return pulls | beam.ParDo(_ReadMessagesDoFn()).with_output_types(Item)


class _ReadMessagesDoFn(beam.DoFn):  # type: ignore[misc]
    def process(self, element: FastaFile | Pull) -> Iterator[Item]:
        if isinstance(element, FastaFile):
            element = element, storage.read_bytes(element.url)
        yield from in_batches(read_pull(*element))


def read_pull(file: FastaFile, data: bytes) -> Iterator[Item]:
    """Yields the records of a pull and its EndOfFile.

    Args:
        file: Where the messages lie, and what the pull is called.
        data: What lies there.

    Raises:
        ConfigurationError: It is damaged.
    """
    version = hashlib.sha256(data).hexdigest()
    messages = decode_pull(file, data)
    opened = [_open(message) for message in messages]
    counts = [each.counts for each in opened if isinstance(each, Opened)]
    records = sum(count.records for count in counts) + len(opened) - len(counts)
    residues = sum(count.residues for count in counts)
    events.emit(events.FileOpened(file.source, file.size, records, residues))
    ordinal = 0
    for message, what in zip(messages, opened, strict=True):
        for item in _items_of(message, what, Protein(file.source, ordinal, "", "", "", version)):
            yield item
            ordinal += 1
    yield end_of(file, version, Counts(records, residues))


def decode_pull(file: FastaFile, data: bytes) -> list[Message]:
    """Returns the messages of a pull.

    Raises:
        ConfigurationError: They are damaged.
    """
    try:
        return decode_messages(data)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{file.url} is damaged. Delete it: its messages are not acknowledged, so they come "
            "again."
        ) from error


def _open(message: Message) -> Opened | MessageError:
    try:
        return open_message(message)
    except MessageError as error:
        return error


def _items_of(message: Message, what: Opened | MessageError, first: Protein) -> Iterator[Item]:
    attributes = json.dumps(message.attributes, sort_keys=True) if message.attributes else ""

    def with_origin(item: Of) -> Of:
        return replace(
            item,
            message_id=message.id,
            publish_time=message.publish_time,
            attributes=attributes,
        )

    if isinstance(what, MessageError):
        text = message.data.decode("utf-8", "backslashreplace")
        failed = with_origin(replace(first, sequence=text))
        yield record_failed(failed, "read", what.error_type, str(what))
        return
    for ordinal, record in enumerate(what.records, first.ordinal):
        in_pull = record._replace(ordinal=ordinal)
        place = f"message {message.id}, {place_of(record)}"
        yield with_origin(item_of(in_pull, first.source, first.file_sha256, place))
