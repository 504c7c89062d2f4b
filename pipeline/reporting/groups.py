"""The groups of a map: those that have a colour and a shape, and the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.reporting.colours import GROUPS
from transforms.text import printable

COLOURS, SHAPES = len(GROUPS), 4
MOST_NAMED = 20
"""Groups with a sign of their own. It is colour and shape together, of which there are 28, for 7
and 4 have no divisor in common."""

_LONGEST_NAME = 60


@dataclass(frozen=True, slots=True)
class Groups:
    """Which group each row of a map is in.

    Attributes:
        by: What rows are grouped by.
        named: The groups that have a colour, the largest first, with the number of their rows. Of
            group ``n`` it is colour ``n % COLOURS``, and shape ``n % SHAPES``.
        rest: What the others are called.
        others: Their names, in order of their size.
        numbers: The group of each row by its place in ``named``; -1 for another one or none.
        count: How many groups there are.
    """

    by: str
    named: tuple[tuple[str, int], ...]
    rest: str
    others: tuple[str, ...]
    numbers: tuple[int, ...]
    count: int


def make_groups(by: str, groups: Sequence[str | None]) -> Groups:
    """Gives colours to the largest groups."""
    sizes = Counter(group for group in groups if group is not None)
    ordered = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    named = ordered[:MOST_NAMED]
    places = {group: place for place, (group, _) in enumerate(named)}
    numbers = tuple(-1 if group is None else places.get(group, -1) for group in groups)
    others = ordered[MOST_NAMED:]
    rest = [f"{len(others):,} more"] if others else []
    rest += ["none"] if None in groups else []
    return Groups(
        by=by,
        named=tuple((printable(group, _LONGEST_NAME), size) for group, size in named),
        rest=" and ".join(rest),
        others=tuple(printable(group, _LONGEST_NAME) for group, _ in others),
        numbers=numbers,
        count=len(ordered),
    )
