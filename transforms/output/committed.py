"""What lies in committed parts: rows, vectors, keys and dead letters, read back.

A part often serves several files one after the other, so the parts read last are kept.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Generic, TypeVar

import numpy as np
import pyarrow as pa

from transforms import storage
from transforms.arrays import Digests, Integers, Vectors
from transforms.dead_letters import decode_dead_letters
from transforms.errors import damaged
from transforms.items import DeadLetter, Protein
from transforms.output.commits import DEAD_LETTERS, EMBEDDINGS, PartRecord
from transforms.output.parquet import read_columns, read_table, to_matrix
from transforms.output.seeking import SeekableFile

Content = TypeVar("Content")

_SHORT = 16  # hexadecimal digits
_NO_KEYS = (np.zeros(0, np.int64), np.zeros(0, np.uint64))


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """The records of one file in one part.

    Attributes:
        ordinals: Of its rows, ascending; int64.
        digests: The beginning of the SHA-256 of their sequences, as :func:`short_digest`; uint64.
        dead_letters: The SHA-256 of each failed record's sequence, by its ordinal.
    """

    ordinals: Integers
    digests: Digests
    dead_letters: Mapping[int | None, str]


@dataclass(frozen=True, slots=True)
class RowKeys:
    """What names the rows of one file in one part, by ordinal.

    Attributes:
        ordinals: Positions of the records in their file.
        ids: Their ids.
        residues_used: Residues that the model was given.
        place: Which rows of the part they are.
    """

    ordinals: list[int]
    ids: list[str]
    residues_used: list[int]
    place: slice


@dataclass(frozen=True, slots=True)
class Rows(RowKeys):
    """The rows of one file in one part, by ordinal.

    Attributes:
        vectors: float32 array of shape (n, D).
    """

    vectors: Vectors


def read_keys(root: str, part: PartRecord, source: str) -> Keys:
    """Returns the keys of a file's records in a part."""
    ordinals, digests = _NO_KEYS
    if part.embeddings:
        ordinals, digests = _keys(root, part.embeddings).get(source, _NO_KEYS)
    letters = read_dead_letters(root, part, source)
    dead = {letter.ordinal: letter.sequence_sha256 for letter in letters}
    return Keys(ordinals, digests, dead)


def short_digest(digest: str) -> int:
    """Returns the first 64 bits of a SHA-256; 0 for none.

    A record is known by its file's version and its place in it; that its sequence, too, is the
    same is made sure of.
    """
    return int(digest[:_SHORT], 16) if digest else 0


def short_digests(digests: list[str]) -> Digests:
    """Returns :func:`short_digest` of each as an array; none is empty."""
    short = "".join([digest[:_SHORT].zfill(_SHORT) for digest in digests])
    return np.frombuffer(bytes.fromhex(short), ">u8").astype(np.uint64)


def read_row_keys(root: str, part: PartRecord, source: str) -> RowKeys | None:
    """Returns what names the rows of a file in a part; None if there are none."""
    if not part.embeddings:
        return None
    return _ROW_KEYS.get(part.embeddings, partial(_read_row_keys, root)).get(source)


def read_rows(root: str, part: PartRecord, source: str) -> Rows | None:
    """Returns the rows of a file in a part; None if there are none."""
    keys = read_row_keys(root, part, source)
    if keys is None:
        return None
    vectors = read_vectors(root, part)[keys.place]
    return Rows(keys.ordinals, keys.ids, keys.residues_used, keys.place, vectors)


def read_vectors(root: str, part: PartRecord) -> Vectors:
    """Returns the vectors of all rows of a part that has rows."""
    assert part.embeddings is not None
    return _VECTORS.get(part.embeddings, partial(_read_vectors, root))


def remember_rows(name: str, proteins: Sequence[Protein], vectors: Vectors) -> None:
    """Keeps what has just been written, as if it had been read back.

    Args:
        name: Of the file in ``embeddings/``.
        proteins: Its rows, sorted by source and ordinal.
        vectors: Their vectors.
    """
    columns = zip(*((p.source, p.ordinal, p.id, p.residues_used) for p in proteins), strict=True)
    _ROW_KEYS.put(name, _keys_by_source(*map(list, columns)))
    _VECTORS.put(name, vectors)


def read_dead_letters(root: str, part: PartRecord, source: str) -> tuple[DeadLetter, ...]:
    """Returns the dead letters of a file in a part, the file's own first, then by ordinal."""
    return _dead_letters(root, part.dead_letters).get(source, ()) if part.dead_letters else ()


def read_all_rows(root: str, name: str) -> pa.Table:
    """Returns all that a file in ``embeddings/`` holds.

    Raises:
        ConfigurationError: It is damaged.
    """
    return _decode(root, EMBEDDINGS, name, partial(_decode_whole, name, read_table))


def read_row_columns(root: str, name: str, columns: Sequence[str]) -> pa.Table:
    """Returns some columns of a file in ``embeddings/``; the others are not fetched.

    Raises:
        ConfigurationError: It is damaged.
        OSError: It cannot be read.
    """
    with open_rows(root, name) as file:
        return read_columns(file, columns)


@contextmanager
def open_rows(root: str, name: str) -> Iterator[SeekableFile]:
    """Opens a file in ``embeddings/`` for the time of a ``with`` block, to read some of it.

    Raises:
        ConfigurationError: It is damaged.
        OSError: It cannot be read.
    """
    url = storage.join(root, EMBEDDINGS, name)
    file = SeekableFile(url)
    try:
        yield file
    except DAMAGE as error:
        raise file.failure or damaged(url) from error


def read_all_dead_letters(root: str, name: str) -> tuple[DeadLetter, ...]:
    """Returns all that a file in ``dead_letters/`` holds.

    Raises:
        ConfigurationError: It is damaged.
    """
    return _decode(root, DEAD_LETTERS, name, partial(_decode_whole, name, decode_dead_letters))


def _decode_whole(name: str, decode: Callable[[bytes], Content], data: bytes) -> Content:
    # Else damage would get a digest of its own where what was read is written anew.
    digest = name.rpartition("-")[2].partition(".")[0]
    if not hashlib.sha256(data).hexdigest().startswith(digest):
        raise ValueError("another digest than its name says")
    return decode(data)


def _decode(root: str, folder: str, name: str, decode: Callable[[bytes], Content]) -> Content:
    url = storage.join(root, folder, name)
    data = storage.read_bytes(url)
    try:
        return decode(data)
    except DAMAGE as error:
        raise damaged(url) from error


# Arrow has some of its own for a damaged file, and OSError.
DAMAGE = (ValueError, KeyError, TypeError, OSError, pa.ArrowException)
"""What reading a damaged data file raises."""


# Data files are named by their digest, so what was read under a name stays true.


class _LastRead(Generic[Content]):
    """What was read of the last few files, by their names. For several threads at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: dict[str, Content] = {}
        self._lock = threading.Lock()

    def get(self, name: str, read: Callable[[str], Content]) -> Content:
        """Returns what a file holds, which is read unless it is held."""
        content = self._held.get(name)
        if content is None:
            content = read(name)
            self.put(name, content)
        return content

    def put(self, name: str, content: Content) -> None:
        """Holds what a file holds, and lets go of the oldest."""
        with self._lock:
            self._held[name] = content
            while len(self._held) > self._most:
                del self._held[next(iter(self._held))]

    def clear(self) -> None:
        """Lets go of all."""
        with self._lock:
            self._held.clear()


_ROW_KEYS = _LastRead[dict[str, RowKeys]](2)
_VECTORS = _LastRead[Vectors](2)


def _read_row_keys(root: str, name: str) -> dict[str, RowKeys]:
    table = read_row_columns(root, name, ["source", "ordinal", "id", "residues_used"])
    return _keys_by_source(*(table.column(i).to_pylist() for i in range(4)))


def _read_vectors(root: str, name: str) -> Vectors:
    table = _decode(root, EMBEDDINGS, name, partial(read_columns, columns=["embedding"]))
    return to_matrix(table.column("embedding"))


def _keys_by_source(
    sources: list[str], ordinals: list[int], ids: list[str], used: list[int]
) -> dict[str, RowKeys]:
    return {
        source: RowKeys(ordinals[at], ids[at], used[at], at)
        for source, at in _slices(sources).items()
    }


@lru_cache(maxsize=8)
def _keys(root: str, name: str) -> dict[str, tuple[Integers, Digests]]:
    table = read_row_columns(root, name, ["source", "ordinal", "sequence_sha256"])
    try:
        digests = short_digests(table.column("sequence_sha256").to_pylist())
    except DAMAGE as error:
        raise damaged(storage.join(root, EMBEDDINGS, name)) from error
    ordinals = table.column("ordinal").to_numpy()
    places = _slices(table.column("source").to_pylist())
    return {source: (ordinals[at], digests[at]) for source, at in places.items()}


@lru_cache(maxsize=8)
def _dead_letters(root: str, name: str) -> dict[str, tuple[DeadLetter, ...]]:
    letters = read_all_dead_letters(root, name)
    return {
        source: tuple(letters[at])
        for source, at in _slices([letter.source for letter in letters]).items()
    }


def _slices(sources: list[str]) -> dict[str, slice]:
    """Returns where each source lies; the rows of a part are sorted by source."""
    starts = [i for i, source in enumerate(sources) if i == 0 or source != sources[i - 1]]
    return {
        sources[start]: slice(start, stop)
        for start, stop in zip(starts, [*starts[1:], len(sources)], strict=True)
    }
