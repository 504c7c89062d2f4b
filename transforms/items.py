"""The kinds of element that travel down the line, and the coder they share.

One PCollection of :class:`Item` runs from end to end. Each step acts on its own kinds and
passes the others on, so every record that was read arrives at the end with an outcome:

========================  =====================================================================
:class:`Protein`          a record on its way to the model
:class:`Batch`            items that travel together, as what one call of the model gets
:class:`EmbeddingBlock`   proteins with their vectors
:class:`Deferred`         items that the device is at work on (``transforms/awaiting.py``)
:class:`DeadLetter`       a record, or a whole file, that failed, and why
:class:`Settled`          records of a file that lie in a committed part
:class:`EndOfFile`        how many records a file has
:class:`FinishedFile`     a file whose every record is settled
========================  =====================================================================
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import apache_beam as beam
import numpy as np

from transforms.arrays import Vectors
from transforms.coders import PlainCoder


class Item:
    """Base of all kinds; every step of the line is hinted ``Item -> Item``."""

    __slots__ = ()

    def pack(self) -> tuple[Any, ...]:
        """Returns the fields as plain values that :class:`ItemCoder` can write."""
        return _FIELDS[type(self)](self)

    @classmethod
    def unpack(cls, values: tuple[Any, ...]) -> Item:
        """Rebuilds an item from what :meth:`pack` returned."""
        return cls(*values)


@dataclass(frozen=True, slots=True)
class Protein(Item):
    """One FASTA record.

    Attributes:
        source: Path of the FASTA file below the input root, with ``/``.
        ordinal: Position of the record in its file, from 0; (source, ordinal) is unique.
        id: First word of the header.
        description: The rest of the header.
        sequence: Residues, never truncated; after ``CheckResidues`` as the policy leaves them.
        file_sha256: SHA-256 of the bytes of the file: the version the record belongs to.
        sequence_sha256: SHA-256 of ``sequence`` after the policy; empty before it.
        residues_used: How many leading residues the model is given; 0 before the policy.
        changes: What the policy changed, e.g. ``"upper-cased; 1 J to X"``; empty for nothing.
        message_id, publish_time, attributes: Of the message that held it; see DeadLetter.
    """

    source: str
    ordinal: int
    id: str
    description: str
    sequence: str
    file_sha256: str
    sequence_sha256: str = ""
    residues_used: int = 0
    changes: str = ""
    message_id: str = ""
    publish_time: str = ""
    attributes: str = ""

    @property
    def used(self) -> str:
        """The residues that the model is given."""
        return self.sequence[: self.residues_used]

    @property
    def tokens(self) -> int:
        """What the model computes for this record: its residues, BOS and EOS."""
        return self.residues_used + 2


@dataclass(frozen=True, slots=True)
class DeadLetter(Item):
    """A record that failed, or a file that could not be read to its end.

    Attributes:
        source: Path of the FASTA file below the input root.
        ordinal: Position of the record in its file; None for the whole file.
        id: First word of the header; empty for the whole file.
        description: The rest of the header.
        sequence: The residues; None for a whole file and above 1,000,000 residues.
        length: Number of residues.
        sequence_sha256: SHA-256 of the sequence; empty for a whole file.
        file_sha256: SHA-256 of the file's bytes; empty where it could not be read.
        stage: Step that failed: ``read``, ``residues``, ``inference`` or ``validate``.
        error_type: Short class of the failure, e.g. ``invalid_residue``, ``oom``, ``nan``.
        message: One sentence for a person.
        attempts: How often the step was tried.
        time: When it failed, ISO 8601 in UTC.
        message_id: The message that held it; this and the next two are empty if a file did.
        publish_time: When that was published, ISO 8601 in UTC.
        attributes: What the publisher said beside it, as JSON.
    """

    source: str
    ordinal: int | None
    id: str
    description: str
    sequence: str | None
    length: int
    sequence_sha256: str
    file_sha256: str
    stage: str
    error_type: str
    message: str
    attempts: int
    time: str
    message_id: str = ""
    publish_time: str = ""
    attributes: str = ""


@dataclass(frozen=True, slots=True)
class Settled(Item):
    """Records of one file that lie in a committed part.

    Attributes:
        source: Path of the FASTA file below the input root.
        file_sha256: The version of the file that the records belong to.
        part: Name of the part's commit record, without suffix.
        rows: How many were embedded.
        dead_letters: How many were dead-lettered; if it is the file that failed, 0 as ``rows``.
    """

    source: str
    file_sha256: str
    part: str
    rows: int
    dead_letters: int


@dataclass(frozen=True, slots=True)
class EndOfFile(Item):
    """The end of a file that was read whole.

    Attributes:
        source: Path of the FASTA file below the input root.
        file_sha256: SHA-256 of the file's bytes.
        url: Where the file was read.
        size: Bytes of the file.
        mtime: Modification time, seconds since the epoch.
        records: How many records it holds, good and bad.
        residues: How many residues those records have.
        complete: When it was complete or found, seconds since the epoch.
    """

    source: str
    file_sha256: str
    url: str
    size: int
    mtime: float
    records: int
    residues: int
    complete: float = field(default_factory=time.time, compare=False)


@dataclass(frozen=True, slots=True)
class FinishedFile(Item):
    """A file whose every record is settled.

    Attributes:
        end: The file and what it holds.
        rows: How many of its records were embedded.
        dead_letters: How many were dead-lettered.
        parts: Names of the parts in which they lie.
    """

    end: EndOfFile
    rows: int
    dead_letters: int
    parts: tuple[str, ...]

    def pack(self) -> tuple[Any, ...]:
        """See :meth:`Item.pack`."""
        return (self.end.pack(), self.rows, self.dead_letters, self.parts)

    @classmethod
    def unpack(cls, values: tuple[Any, ...]) -> Item:
        """See :meth:`Item.unpack`."""
        end, rows, dead_letters, parts = values
        return cls(EndOfFile(*end), rows, dead_letters, tuple(parts))


@dataclass(frozen=True, slots=True)
class Batch(Item):
    """Items that travel together: some that were read, or what one call of the model gets.

    They are in order of arrival. A step acts on each of them as if it came alone. ``len`` counts
    the proteins, so that RunInference's metrics count inferences.
    """

    items: tuple[Item, ...]

    @property
    def proteins(self) -> list[Protein]:
        """The proteins of the batch, in order."""
        return [item for item in self.items if isinstance(item, Protein)]

    def __len__(self) -> int:
        return len(self.proteins)

    def pack(self) -> tuple[Any, ...]:
        """See :meth:`Item.pack`."""
        return tuple(_to_plain(item) for item in self.items)

    @classmethod
    def unpack(cls, values: tuple[Any, ...]) -> Item:
        """See :meth:`Item.unpack`."""
        return cls(tuple(_from_plain(value) for value in values))


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddingBlock(Item):
    """Proteins and their vectors.

    Attributes:
        proteins: n proteins.
        vectors: float32 array of shape (n, D); row i belongs to ``proteins[i]``.
    """

    proteins: tuple[Protein, ...]
    vectors: Vectors

    def __len__(self) -> int:
        return len(self.proteins)

    def pack(self) -> tuple[Any, ...]:
        """See :meth:`Item.pack`."""
        matrix = np.ascontiguousarray(self.vectors, dtype=np.float32)
        proteins = tuple(protein.pack() for protein in self.proteins)
        return proteins, matrix.shape[1], matrix.tobytes()

    @classmethod
    def unpack(cls, values: tuple[Any, ...]) -> Item:
        """See :meth:`Item.unpack`."""
        proteins, dim, data = values
        matrix = np.frombuffer(data, dtype=np.float32).reshape(len(proteins), dim)
        return cls(tuple(Protein(*fields) for fields in proteins), matrix)


_KINDS: list[type[Item]] = []
_TAGS: dict[type[Item], int] = {}
_FIELDS: dict[type[Item], Callable[[Item], tuple[Any, ...]]] = {}


def _to_plain(value: Any) -> tuple[Any, ...]:
    return (_TAGS[type(value)], value.pack())


def _from_plain(values: tuple[Any, ...]) -> Item:
    tag, fields = values
    kind: type[Item] = _KINDS[tag]
    return kind.unpack(fields)


class ItemCoder(PlainCoder):
    """Writes an item as the tag of its kind and plain values."""

    kind = Item

    to_plain = staticmethod(_to_plain)
    from_plain = staticmethod(_from_plain)


def add_kind(kind: type[Item]) -> None:
    """Lets :class:`ItemCoder` write items of a kind, wherever its module has been imported."""
    _TAGS[kind] = len(_KINDS)
    _KINDS.append(kind)
    _FIELDS[kind] = attrgetter(*list[str](kind.__slots__))
    beam.coders.registry.register_coder(kind, ItemCoder)


beam.coders.registry.register_coder(Item, ItemCoder)
# The position of a kind is its tag on the wire: append, never reorder.
for _kind in (Protein, DeadLetter, Settled, EndOfFile, FinishedFile, Batch, EmbeddingBlock):
    add_kind(_kind)
