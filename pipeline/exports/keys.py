"""Whether rows can be named by their keys: each by one that no other has, and that is allowed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.exports.source import Source
from pipeline.shared_ids import SharedIds

FindFault = Callable[[str], str | None]
"""Tells why a format cannot name a row by a key; None if it can."""


@dataclass(frozen=True, slots=True)
class KeySurvey:
    """What is known of the keys of all rows.

    Attributes:
        doubled: How many rows have a key that another row has too.
        example: The first such key; of several the one that sorts first.
        unfit: How many rows have a key that the format does not take.
        reason: The first of them, and what is wrong with it.
    """

    doubled: int = 0
    example: str = ""
    unfit: int = 0
    reason: str = ""


def survey_keys(source: Source, find_fault: FindFault) -> KeySurvey:
    """Reads the keys of all rows, once or, where some seem to be equal, twice.

    Memory holds eight bytes a row, and the keys that come more than once.
    """
    unfit, reason = 0, ""
    shared = SharedIds()
    for keys in source.read_keys():
        shared.add(keys)
        for key in keys:
            if fault := find_fault(key):
                unfit, reason = unfit + 1, reason or f"{key[:60]!r} {fault}"
    suspects = set(shared.repeated().tolist())
    again = source.read_keys() if suspects else ()
    # Hashes of different keys may be equal.
    found = Counter(key for keys in again for key in keys if hash(key) in suspects)
    doubled = {key: count for key, count in found.items() if count > 1}
    return KeySurvey(sum(doubled.values()), min(doubled, default=""), unfit, reason)
