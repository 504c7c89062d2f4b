"""Ids that are alike only because an id ends at the first blank of its header."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import numpy as np


class SharedIds:
    """Counts records whose id others have whose header goes on differently.

    Of ``>my protein 1`` and ``>my protein 2`` both have the id ``my``. Two records with the same
    header do not count: they are the same twice. 16 bytes are held of a record.

    Args:
        most: Of how many records; None for all that come.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._ids = array("q")
        self._headers = array("q")
        self.are_all = True
        """Whether no record came beyond those."""

    def add(self, records: Iterable[tuple[str, str | None]]) -> None:
        """Takes note of records, given as id and the rest of the header."""
        for name, rest in records:
            if self._most is not None and len(self._ids) >= self._most:
                self.are_all = False
                return
            self._ids.append(hash(name))
            self._headers.append(hash((name, rest or "")))

    def count(self) -> int:
        """Returns how many records share their id with one whose header is another."""
        ids, headers = (np.frombuffer(held, np.int64) for held in (self._ids, self._headers))
        if not len(ids):
            return 0
        _, places = np.unique(ids, return_inverse=True)
        _, firsts = np.unique(headers, return_index=True)
        different = np.bincount(places[firsts])
        return int((different[places] > 1).sum())
