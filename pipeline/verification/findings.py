"""What a verification finds in an output, in sentences for a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_NAMED = 3  # of several things, those that a sentence names


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in an output that is to be told.

    Attributes:
        kind: Short class, e.g. ``digest`` or ``order``.
        message: A sentence that names file, part and record.
        is_fault: False for a remark: what could not be checked, or what the next run mends.
    """

    kind: str
    message: str
    is_fault: bool = True


def remark(kind: str, message: str) -> Finding:
    """Returns a finding that is no fault."""
    return Finding(kind, message, is_fault=False)


def place(source: str, ordinal: int) -> str:
    """Returns how a record is named in a sentence."""
    return f"{source}, record {ordinal + 1:,}"


def some(things: Sequence[object], total: int | None = None) -> str:
    """Returns the first of several things, and how many more there are.

    Args:
        things: The things, or the first of them.
        total: How many there are in all; None for as many as are given.
    """
    shown = ", ".join(str(thing) for thing in things[:_NAMED])
    more = (len(things) if total is None else total) - _NAMED
    return shown + (f" and {more:,} more" if more > 0 else "")
