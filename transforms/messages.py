"""Messages of a queue such as Pub/Sub: what one holds, and how those of a pull are written down.

A message holds FASTA, of one record or several, or one JSON object with ``id``, ``sequence`` and
perhaps ``description``. One that holds anything else is refused as a whole.
"""

from __future__ import annotations

import base64
import hashlib
import json
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from transforms.errors import FastaFormatError, RecordError
from transforms.inputs.fasta import (
    MAX_RECORD_RESIDUES,
    Counts,
    FastaRecord,
    parse_fasta,
    scan_fasta,
)
from transforms.output.commits import INPUTS, MESSAGES
from transforms.times import iso

KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes:
        id: What the service has named it; it never gives two messages of a topic one name.
        publish_time: When it was published, ISO 8601 in UTC.
        attributes: What the publisher has said beside the data.
        data: What it holds.
    """

    id: str
    publish_time: str
    attributes: Mapping[str, str]
    data: bytes

    @property
    def key(self) -> bytes:
        """By what it is known again when it is delivered once more: its id and its content."""
        digest = hashlib.sha256(json.dumps([self.id, self.attributes], sort_keys=True).encode())
        digest.update(self.data)
        return digest.digest()[:KEY_BYTES]


def from_pubsub(message: Any) -> Message:
    """Returns a message as it is to us.

    Args:
        message: As Google's client has it, or Beam.

    Raises:
        ValueError: It says neither its name nor its time.
    """
    if not message.message_id or message.publish_time is None:
        raise ValueError("The engine hands on messages without message_id and publish_time.")
    return Message(
        id=message.message_id,
        publish_time=iso(message.publish_time, "microseconds"),
        attributes=dict(message.attributes or {}),
        data=message.data or b"",
    )


class MessageError(RecordError):
    """A message holds no record that can be told."""


class Opened(NamedTuple):
    """A message that can be read to its end.

    Attributes:
        counts: What it holds.
        records: Its records, one by one; lazily, for a small message may hold a million.
    """

    counts: Counts
    records: Iterator[FastaRecord]


def has_messages(configuration: Mapping[str, Any]) -> bool:
    """Tells whether an output is bound to messages: then each row says of which it is."""
    return configuration.get(INPUTS) == MESSAGES


def open_message(message: Message) -> Opened:
    """Reads a message to its end once.

    Raises:
        MessageError: It holds no FASTA and no JSON object with a sequence.
    """
    opening = message.data.removeprefix(BOM_UTF8).lstrip()[:1]
    if not opening:
        raise MessageError("empty_message", f"message {message.id} is empty")
    if opening == b"{":
        record = _parse_json(message)
        return Opened(Counts(1, record.length), iter([record]))
    try:
        counts = scan_fasta([message.data])
    except FastaFormatError as error:
        raise MessageError(
            "not_fasta", f"message {message.id} is neither FASTA nor JSON: {error}"
        ) from error
    if not counts.records:
        raise MessageError("empty_message", f"message {message.id} holds no record")
    return Opened(counts, parse_fasta([message.data]))


def _parse_json(message: Message) -> FastaRecord:
    try:
        content = json.loads(message.data)
        values = [content[name] for name in ("id", "sequence")] + [content.get("description") or ""]
        for value in values:
            value.encode()  # JSON can spell halves of characters, which no output can hold
    except (ValueError, RecursionError) as error:
        raise MessageError("not_json", f"message {message.id} is not JSON: {error}") from error
    except (KeyError, AttributeError) as error:
        raise MessageError(
            "not_json",
            f"message {message.id} is JSON without an id and a sequence that are texts",
        ) from error
    record_id, sequence, description = values
    sequence = "".join(sequence.split())
    length = len(sequence)
    kept = sequence if length <= MAX_RECORD_RESIDUES else None
    return FastaRecord(0, 1, record_id, description, kept, length)


def encode_messages(messages: Iterable[Message]) -> bytes:
    """Returns JSON Lines, one message a line."""
    return b"".join(
        json.dumps(
            {
                "id": message.id,
                "publish_time": message.publish_time,
                "attributes": dict(message.attributes),
                "data": base64.b64encode(message.data).decode(),
            }
        ).encode()
        + b"\n"
        for message in messages
    )


def decode_messages(data: bytes) -> list[Message]:
    """Returns the messages that :func:`encode_messages` wrote.

    Raises:
        ValueError: They are damaged.
    """
    fields = [json.loads(line) for line in data.splitlines()]
    return [Message(**{**each, "data": base64.b64decode(each["data"])}) for each in fields]
