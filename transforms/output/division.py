"""An output that n shards make together: how many they are, and which have ended.

``commits/shards.json``          that the output is divided, by how many shards; written by the
                                 first of them. While it is there no other run may begin.
``commits/shard-<id>-<i>.json``  that a shard has an outcome for every record that falls to it
``commits/shares-<id>-<i>-*``    of which files it has; see :mod:`transforms.shares`

``<id>`` is drawn with the division, so that what an earlier one has left does not count.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from transforms import storage
from transforms.errors import ConfigurationError
from transforms.output.commits import COMMITS
from transforms.output.holders import State, read_holder, state_of
from transforms.output.json_records import read_json, write_json
from transforms.output.shards import Shard
from transforms.text import counted
from transforms.times import now

DIVISION = f"{COMMITS}/shards.json"
ENDS, SHARES = "shard-", "shares-"
"""How the names of the files in ``commits/`` begin that a division has."""

MOST_NAMED = 20
"""Shards that a person is told of."""


@dataclass(frozen=True, slots=True)
class Division:
    """That an output is made by shards.

    Attributes:
        id: Its name.
        count: How many shards there are.
        begun: When it began, ISO 8601 in UTC.
    """

    id: str
    count: int
    begun: str

    def shard(self, number: int) -> Shard:
        """Returns one of its shards."""
        return Shard(number, self.count, self.id)


@dataclass(frozen=True, slots=True)
class ShardEnd:
    """What a shard leaves when it has ended.

    Attributes:
        run: Its run.
        seconds: How long that run took.
        device: Where the model ran.
        failed: The files that it could not read.
        metrics: What its graph counted.
    """

    run: str
    seconds: float = 0.0
    device: str = ""
    failed: tuple[str, ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ShardState:
    """What is known of a shard.

    Attributes:
        number: Which one.
        has_ended: Whether it has an outcome for all that falls to it.
        state: What is known of its run; None if there never was one.
    """

    number: int
    has_ended: bool
    state: State | None

    def __str__(self) -> str:
        how = {"alive": "at work", "silent": "suspended", "dead": "died", "ended": "stopped"}
        return f"{self.number} ({how[self.state] if self.state else 'not begun'})"


def read_division(root: str) -> Division | None:
    """Returns how an output is divided; None if it is not.

    Raises:
        ConfigurationError: What says so is damaged.
    """
    if not storage.exists(url := storage.join(root, DIVISION)):
        return None
    return read_json(url, lambda content: Division(**content))


def begin_division(root: str, count: int) -> Division:
    """Divides an output among so many shards; only for who holds the parts."""
    _delete(root)
    division = Division(uuid.uuid4().hex[:12], count, now())
    write_json(root, DIVISION, division)
    return division


def end_division(root: str) -> None:
    """Lets an output be whole again; only for who holds the locks of all its shards."""
    storage.delete(storage.join(root, DIVISION))  # first: without it the others do not count
    _delete(root)


def _delete(root: str) -> None:
    folder = storage.join(root, COMMITS)
    for name in storage.list_names(folder):
        if name.startswith((ENDS, SHARES)):
            storage.delete(storage.join(folder, name))


def check_undivided(root: str) -> None:
    """Makes sure that an output is not being made by shards.

    Raises:
        ConfigurationError: It is.
    """
    if division := read_division(root):
        count = division.count
        raise ConfigurationError(
            f"{root} is being made by {count} shards. Go on with --shard 0/{count} to "
            f"{count - 1}/{count}: `python -m pipeline.finish {root}` says which of them are "
            "missing, and completes the output; with --release it ends the division as it stands."
        )


def note_end(root: str, shard: Shard, end: ShardEnd) -> None:
    """Says that a shard has an outcome for all that falls to it."""
    write_json(root, _end(shard), end)


def forget_end(root: str, shard: Shard) -> None:
    """Says that a shard has something to do again."""
    storage.delete(storage.join(root, _end(shard)))


def has_ended(root: str, shard: Shard) -> bool:
    """Tells whether a shard has ended."""
    return storage.exists(storage.join(root, _end(shard)))


def read_ends(root: str, division: Division) -> dict[int, ShardEnd]:
    """Returns what the shards that have ended have left, by number."""
    shards = [division.shard(number) for number in range(division.count)]
    there = set(storage.list_names(storage.join(root, COMMITS)))
    ends = {}
    for shard in shards:
        if _end(shard).rpartition("/")[2] in there:
            with suppress(FileNotFoundError):  # gone since: another shard has completed the output
                ends[shard.number] = read_json(storage.join(root, _end(shard)), _shard_end)
    return ends


def look_at_shards(root: str, division: Division) -> list[ShardState]:
    """Returns what is known of each shard, without disturbing any."""
    ended = read_ends(root, division).keys()
    states = []
    for number in range(division.count):
        holder = read_holder(root, division.shard(number).name)
        states.append(ShardState(number, number in ended, state_of(holder) if holder else None))
    return states


def describe_missing(states: Sequence[ShardState]) -> str:
    """Returns in words which shards have not ended; empty if all have."""
    missing = [str(state) for state in states if not state.has_ended]
    more = f" and {len(missing) - MOST_NAMED:,} more" if len(missing) > MOST_NAMED else ""
    named = ", ".join(missing[:MOST_NAMED])
    have = "has" if len(missing) == 1 else "have"
    told = f"{len(missing)} of {counted(len(states), 'shard')} {have} not ended"
    return f"{told}: {named}{more}" if missing else ""


def shares_of(shard: Shard) -> str:
    """Returns how the names of a shard's notes in ``commits/`` begin."""
    return f"{SHARES}{shard.division}-{shard.number}-"


def _shard_end(content: Any) -> ShardEnd:
    return ShardEnd(**{**content, "failed": tuple(content["failed"])})


def _end(shard: Shard) -> str:
    return f"{COMMITS}/{ENDS}{shard.division}-{shard.number}.json"
