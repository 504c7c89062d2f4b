"""The records of a finished file, read back from its parts in the order of the file.

What is held is where each record lies, and its id. Vectors and dead letters are read when they
are wanted, from one part after the other, so that a file of any size takes little memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import BinaryIO

import numpy as np

from transforms import storage
from transforms.arrays import Integers, Vectors
from transforms.errors import AccountingError
from transforms.items import DeadLetter, FinishedFile
from transforms.output.commits import PartRecord
from transforms.output.committed import (
    Rows,
    read_dead_letters,
    read_keys,
    read_row_keys,
    read_rows,
    read_vectors,
)

BLOCK_BYTES = 32 << 20
"""Vectors that are read at a time of what was sorted on disk."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where records lie.

    Attributes:
        parts: Number of the part, for each record.
        rows: Its position in that part; of a dead letter, among those of the file.
    """

    parts: Integers
    rows: Integers

    def __len__(self) -> int:
        return len(self.parts)

    def take(self, order: Integers) -> Places:
        """Returns the places of some records, in the order that is given."""
        return Places(self.parts[order], self.rows[order])


@dataclass(frozen=True, slots=True)
class Gathered:
    """The records of one file.

    Attributes:
        root: The output root.
        source: The file.
        parts: The parts in which its records lie.
        ordinals: Of the embedded records, in FASTA order.
        ids: Their ids.
        residues_used: How many residues of each the model was given.
        rows: Where they lie.
        dead_letters: Where the failed records lie, in FASTA order.
    """

    root: str
    source: str
    parts: tuple[PartRecord, ...]
    ordinals: Integers
    ids: list[str]
    residues_used: Integers
    rows: Places
    dead_letters: Places

    def longest_first(self) -> Gathered:
        """Returns the same records by length, descending; equal ones stay in FASTA order."""
        order = np.argsort(-self.residues_used, kind="stable")
        return replace(
            self,
            ordinals=self.ordinals[order],
            ids=[self.ids[i] for i in order],
            residues_used=self.residues_used[order],
            rows=self.rows.take(order),
        )

    def read_vectors(self) -> Iterator[Vectors]:
        """Yields the vectors of the embedded records in blocks, as float32 of shape (n, D).

        Where one lane has embedded the file, its records lie in its parts one after the other, and
        a block is what lies together. Where many have, or longest first, they are interleaved, and
        are sorted on disk. So no part is read more than twice on average, and two are held.
        """
        parts = self.rows.parts
        starts = np.flatnonzero(np.diff(parts, prepend=-1))
        if len(starts) > 2 * len(np.unique(parts)):
            yield from self._read_sorted()
            return
        for start, stop in pairwise([*starts, len(parts)]):
            yield self._read_vectors(int(parts[start]))[self.rows.rows[start:stop]]

    def _read_sorted(self) -> Iterator[Vectors]:
        with storage.open_scratch(self.root) as file:
            dim = self._write_sorted(file)
            file.seek(0)
            while block := file.read(max(BLOCK_BYTES // (4 * dim), 1) * 4 * dim):
                yield np.frombuffer(block, np.float32).reshape(-1, dim)

    def _write_sorted(self, file: BinaryIO) -> int:
        """Writes the vectors of one part after the other to their places; returns their width."""
        by_part = np.argsort(self.rows.parts, kind="stable")
        for places in _split(by_part, self.rows.parts[by_part]):
            vectors = self._read_vectors(int(self.rows.parts[places[0]]))
            for run in _split(places, places - np.arange(len(places))):
                file.seek(int(run[0]) * vectors[0].nbytes)
                file.write(vectors[self.rows.rows[run]].tobytes())
        return int(vectors.shape[1])

    def _read_vectors(self, part: int) -> Vectors:
        return read_vectors(self.root, self.parts[part])

    def read_dead_letters(self) -> Iterator[DeadLetter]:
        """Yields the dead letters of the failed records."""
        for part, row in zip(self.dead_letters.parts, self.dead_letters.rows, strict=True):
            yield read_dead_letters(self.root, self.parts[part], self.source)[row]


def read_whole(finished: FinishedFile, parts: Sequence[PartRecord], root: str) -> Rows | None:
    """Returns the rows of a file that lies in one part and has no failures, as small ones do.

    They are in FASTA order; :func:`gather` says the same of any file at greater expense.

    Returns:
        The rows; None for a file of another kind.
    """
    source = finished.end.source
    if len(parts) != 1 or parts[0].dead_letters:
        return None
    rows = read_rows(root, parts[0], source)
    is_whole = rows is not None and rows.ordinals == list(range(finished.end.records))
    return rows if is_whole else None


def gather(finished: FinishedFile, parts: Sequence[PartRecord], root: str) -> Gathered:
    """Finds the rows and dead letters of a file in its parts.

    Raises:
        AccountingError: A record has no outcome or several.
    """
    source = finished.end.source
    ids: list[str] = []
    used: list[Integers] = []
    rows: list[Integers] = []
    starts: list[int] = []
    dead: list[Integers] = []
    for part in parts:
        held = read_row_keys(root, part, source)
        ids += held.ids if held else ()
        used.append(_integers(held.residues_used if held else ()))
        rows.append(_integers(held.ordinals if held else ()))
        starts.append(held.place.start if held else 0)
        letters = read_dead_letters(root, part, source)
        dead.append(_integers([-1 if d.ordinal is None else d.ordinal for d in letters]))
    ordinals, order, places = _locate(rows, starts)
    dead_ordinals, _, dead_places = _locate(dead, [0] * len(dead))
    check_ordinals(finished, ordinals, dead_ordinals)
    return Gathered(
        root=root,
        source=source,
        parts=tuple(parts),
        ordinals=ordinals,
        ids=[ids[i] for i in order],
        residues_used=_join(used)[order],
        rows=places,
        dead_letters=dead_places,
    )


def _locate(
    ordinals_of: Sequence[Integers], starts: Sequence[int]
) -> tuple[Integers, Integers, Places]:
    """Sorts what lies in several parts by ordinal; what has none, -1, is left out.

    Args:
        ordinals_of: The ordinals in each part.
        starts: Where in each part the first of them lies.

    Returns:
        The ordinals, the order among all that lies in the parts, and the places.
    """
    counts = [len(ordinals) for ordinals in ordinals_of]
    ordinals = _join(ordinals_of)
    order = np.argsort(ordinals, kind="stable")
    order = order[ordinals[order] >= 0]
    parts = np.repeat(np.arange(len(counts)), counts)
    rows = _join([np.arange(at, at + n) for at, n in zip(starts, counts, strict=True)])
    return ordinals[order], order, Places(parts[order], rows[order])


def check_keys(finished: FinishedFile, parts: Sequence[PartRecord], root: str) -> None:
    """Makes sure of the same as :func:`gather`, without reading ids and vectors.

    Raises:
        AccountingError: A record has no outcome or several.
    """
    rows, dead = [], []
    for part in parts:
        keys = read_keys(root, part, finished.end.source)
        rows.append(keys.ordinals)
        dead.append(_integers([o for o in keys.dead_letters if o is not None]))
    check_ordinals(finished, _join(rows), _join(dead))


def check_ordinals(finished: FinishedFile, rows: Integers, dead: Integers) -> None:
    """Makes sure that each record of a file has exactly one outcome.

    Args:
        finished: The file.
        rows: Ordinals of its embedded records, in any order.
        dead: Ordinals of its failed records.

    Raises:
        AccountingError: One has none or several; the first is named.
    """
    end = finished.end
    counts = np.bincount(_join([rows, dead]), minlength=end.records)
    wrong = np.flatnonzero(counts != 1)
    if len(wrong) or len(counts) != end.records:
        first = int(wrong[0]) if len(wrong) else end.records
        raise AccountingError(
            f"{end.source}: read {end.records}, embedded {len(rows)}, dead-lettered {len(dead)}; "
            f"record {first + 1} has {counts[first]} outcomes instead of one. "
            "python -m pipeline.verify tells more."
        )


def _split(values: Integers, groups: Integers) -> list[Integers]:
    """Cuts values where the group of one is another than that of the one before."""
    return np.split(values, np.flatnonzero(np.diff(groups)) + 1)


def _integers(values: Sequence[int]) -> Integers:
    return np.array(values, dtype=np.int64)


def _join(arrays: Sequence[Integers]) -> Integers:
    return np.concatenate([_integers(()), *arrays])
