"""Ids that several records have, since an id is the first word of a header and need be no key."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import numpy as np

from transforms.arrays import Integers
from transforms.errors import ConfigurationError
from transforms.output.blocks import read_blocks
from transforms.output.commits import Commits

MOST_ROWS = 200_000
"""Rows of which the ids are read once more at the end of a run."""


class SharedIds:
    """Counts records whose id, or key, another one has too; of each 8 bytes are held.

    Args:
        most: Of how many records; None for all that come.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._hashes = array("q")
        self.are_all = True
        """Whether no record came beyond those."""

    def add(self, ids: Iterable[str]) -> None:
        """Takes note of the ids of records."""
        for name in ids:
            if len(self._hashes) == self._most:
                self.are_all = False
                return
            self._hashes.append(hash(name))

    def count(self) -> int:
        """Returns how many records share their id."""
        _, counts = self._count_each()
        return int(counts[counts > 1].sum())

    def repeated(self) -> Integers:
        """Returns the hashes of the ids that came more than once, if they are not only alike."""
        hashes, counts = self._count_each()
        return hashes[counts > 1]

    def _count_each(self) -> tuple[Integers, Integers]:
        return np.unique(np.frombuffer(self._hashes, np.int64), return_counts=True)


def count_sharing_an_id(root: str, committed: Commits) -> int | None:
    """Returns how many rows of an output have an id that another one has too.

    Returns:
        None where that is not known: there are too many rows, or a part is damaged or gone, which
        is for ``verify`` to tell.
    """
    parts = committed.parts_with_rows()
    if sum(part.rows for part in parts) > MOST_ROWS:
        return None
    shared = SharedIds()
    try:
        for part in parts:
            for block in read_blocks(root, part, ("id",)):
                shared.add(block["id"].to_pylist())
    except (ConfigurationError, OSError):
        return None
    return shared.count()


def tell_sharing_an_id(number: int) -> str:
    """Returns in a sentence that so many records share an id."""
    return (
        f"{number:,} records have an id, the first word of the header, that another one has too; "
        "source and ordinal tell them apart."
    )
