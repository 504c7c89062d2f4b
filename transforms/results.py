"""What is published of a pull: an answer to each of its messages, and its dead letters.

Both are made of what is committed, so nothing is published that a kill could take back, and the
same is published again where a kill came in between.
"""

from __future__ import annotations

import base64
import heapq
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, pairwise
from operator import attrgetter
from typing import Any

import numpy as np

from transforms.dead_letters import encode_dead_letters
from transforms.items import DeadLetter
from transforms.output.commits import Output
from transforms.output.committed import read_all_rows
from transforms.output.gathering import Gathered
from transforms.output.parquet import to_matrix
from transforms.times import iso

MESSAGE_BYTES = 9_000_000
"""Data of one message; Pub/Sub takes 10,000,000 bytes with attributes and all."""

MAX_ATTRIBUTES = 100
CUT_LETTERS = 50_000
"""To so many letters a text is cut that would make a message too large."""

EMBEDDED, DEAD_LETTERED, MIXED = "embedded", "dead_lettered", "mixed"

_COLUMNS = (
    "ordinal", "id", "sequence_length", "residues_used", "truncated", "residue_changes",
    "sequence_sha256",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message that is to be published."""

    data: bytes
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has become of one record.

    Attributes:
        message_id: The message that held it.
        publish_time: When that was published, ISO 8601 in UTC.
        attributes: What its publisher said beside it, as JSON; empty for nothing.
        fields: What an answer says of the record.
    """

    message_id: str
    publish_time: str
    attributes: str
    fields: Mapping[str, Any]


def read_outcomes(found: Gathered) -> Iterator[Outcome]:
    """Yields what has become of the records of a pull, in their order.

    Raises:
        ConfigurationError: A part is damaged.
    """
    failed = map(_of_dead_letter, found.read_dead_letters())
    return heapq.merge(_embedded(found), failed, key=lambda outcome: outcome.fields["ordinal"])


def _embedded(found: Gathered) -> Iterator[Outcome]:
    @lru_cache(maxsize=2)
    def read(part: int) -> Any:
        name = found.parts[part].embeddings
        assert name is not None
        return read_all_rows(found.root, name)

    places = found.rows
    starts = np.flatnonzero(np.diff(places.parts, prepend=-1))
    for start, stop in pairwise([*starts, len(places)]):
        # What follows one another in a pull and lies in one part follows one another there.
        table = read(int(places.parts[start])).slice(int(places.rows[start]), stop - start)
        vectors = to_matrix(table.column("embedding"))
        for row, vector in zip(table.drop_columns("embedding").to_pylist(), vectors, strict=True):
            fields = {name: row[name] for name in _COLUMNS} | {
                "status": EMBEDDED,
                "embedding": base64.b64encode(vector.astype("<f4").tobytes()).decode(),
            }
            yield Outcome(
                row["message_id"],
                iso(row["publish_time"], "microseconds"),
                row["attributes"] or "",
                fields,
            )


def _of_dead_letter(letter: DeadLetter) -> Outcome:
    names = ("ordinal", "id", "stage", "error_type", "message")
    fields = {name: getattr(letter, name) for name in names} | {"status": DEAD_LETTERED}
    return Outcome(letter.message_id, letter.publish_time, letter.attributes, fields)


def make_answers(
    outcomes: Iterable[Outcome], source: str, output: Output, most: int = MESSAGE_BYTES
) -> Iterator[Outgoing]:
    """Yields the answer to each message of a pull; a large one comes in several pages.

    Args:
        outcomes: Those of all records of the pull, in order.
        source: Name of the pull.
        output: Names the model.
        most: Bytes of data of one message.
    """
    for _, records in groupby(outcomes, attrgetter("message_id", "publish_time", "attributes")):
        yield from _make_pages(records, source, output, most)


def _make_pages(
    records: Iterator[Outcome], source: str, output: Output, most: int
) -> Iterator[Outgoing]:
    first = next(records)
    head = {
        "message_id": first.message_id,
        "publish_time": first.publish_time,
        "attributes": json.loads(first.attributes or "{}"),
        "source": source,
        "model_id": output.model,
        "model_revision": output.revision,
    }
    room = most - len(json.dumps(head)) - 100  # what else is not a record
    page, size = 0, 0
    held: list[bytes] = []
    statuses: set[str] = set()

    def make_page(is_last: bool) -> Outgoing:
        # Written by hand, since the records are JSON already.
        opening = json.dumps({**head, "page": page, "last": is_last})[:-1].encode()
        data = opening + b', "records": [' + b", ".join(held) + b"]}"
        outcome = statuses.pop() if len(statuses) == 1 else MIXED
        ours = {"message_id": first.message_id, "outcome": outcome}
        return Outgoing(data, _attributes(first.attributes, ours))

    for record in (first, *records):
        line = _fit(json.dumps(record.fields).encode(), room)
        if held and size + len(line) > room:
            yield make_page(is_last=False)
            page, size, held, statuses = page + 1, 0, [], set()
        held.append(line)
        size += len(line) + 2
        statuses.add(record.fields["status"])
    yield make_page(is_last=True)


def make_dead_letters(found: Gathered, most: int = MESSAGE_BYTES) -> Iterator[Outgoing]:
    """Yields the dead letters of a pull, each as its line in ``dead_letters/`` and a message.

    Args:
        found: The records of the pull.
        most: Bytes of data of one message.
    """
    for letter in found.read_dead_letters():
        ours = {
            "message_id": letter.message_id,
            "stage": letter.stage,
            "error_type": letter.error_type,
        }
        line = encode_dead_letters([letter]).rstrip(b"\n")
        yield Outgoing(_fit(line, most), _attributes(letter.attributes, ours))


def _attributes(original: str, ours: Mapping[str, str]) -> dict[str, str]:
    """Returns the attributes of a message with ours, which filters go by and which come first.

    Pub/Sub takes a hundred, and none that begins with ``goog`` from anyone but itself.
    """
    given = json.loads(original or "{}").items()
    kept = [(k, v) for k, v in given if k not in ours and not k.startswith("goog")]
    return {**dict(kept[: MAX_ATTRIBUTES - len(ours)]), **ours}


def _fit(line: bytes, most: int) -> bytes:
    """Returns a JSON object, and if it is too large with its long texts cut, and their names."""
    if len(line) <= most:
        return line
    fields = json.loads(line)
    long = [
        name
        for name, value in fields.items()
        if isinstance(value, str) and len(value) > CUT_LETTERS and name != "embedding"
    ]
    short = {name: fields[name][:CUT_LETTERS] for name in long}
    return json.dumps({**fields, **short, "cut": long}).encode()
