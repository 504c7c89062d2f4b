"""Large plain files, read by ranges of bytes, so that many workers share the work of one file.

A file is cut where a record begins, so no record is torn. A first pass reads it to its end, hashes
and counts it, as ``reading.py`` does, and notes of each range where it lies, which record and which
line it begins with, and its digest. Then the ranges are read anywhere and in any
order. What is compressed cannot be entered in the middle: it stays whole, as small files do.
"""

from __future__ import annotations

import hashlib
import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import apache_beam as beam

from transforms import events, storage
from transforms.coders import PlainCoder
from transforms.errors import FastaFormatError
from transforms.inputs.compression import MAGIC_BYTES, is_plain
from transforms.inputs.fasta import MAX_MARKS, Counts, parse_fasta, scan_fasta
from transforms.inputs.finding import FastaFile, values_of
from transforms.inputs.reading import (
    changed,
    end_of,
    hashed,
    item_of,
    read_items,
    second_pass,
)
from transforms.inputs.stopping import StoppedError, stop_requested
from transforms.items import Item

RANGE_BYTES = 1 << 26
"""Bytes of a range: some 150,000 proteins, which a fast GPU embeds in a few minutes."""

_HEADER = re.compile(rb"[\n\r]((?:%s){0,%d}>)" % (BOM_UTF8, MAX_MARKS))
_HEADER_BYTES = 1 + MAX_MARKS * len(BOM_UTF8)  # of its beginning, before the >


@dataclass(frozen=True, slots=True)
class FileRange:
    """Some records of a file, one after the other, or a whole file.

    Attributes:
        file: The file.
        start: Its first byte; but for the file's first range, a record begins there.
        stop: Where it ends; None for a whole file that nothing is known of yet.
        ordinal: Position of its first record in the file, from 0.
        line: Number of its first line in the file, from 1.
        sha256: SHA-256 of its bytes.
        file_sha256: SHA-256 of the whole file.
        counts: Of the whole file; only the last range has them.
    """

    file: FastaFile
    start: int = 0
    stop: int | None = None
    ordinal: int = 0
    line: int = 1
    sha256: str = ""
    file_sha256: str = ""
    counts: Counts | None = None


_OWN_VALUES = attrgetter("start", "stop", "ordinal", "line", "sha256", "file_sha256")


class FileRangeCoder(PlainCoder):
    """Writes a range as its values, those of its file and those of its counts."""

    kind = FileRange

    def to_plain(self, value: FileRange) -> tuple[Any, ...]:
        """Returns the values of a range."""
        counts = value.counts and (value.counts.records, value.counts.residues)
        return values_of(value.file), *_OWN_VALUES(value), counts

    def from_plain(self, values: tuple[Any, ...]) -> FileRange:
        """Returns the range that has them."""
        file, start, stop, ordinal, line, sha256, file_sha256, counts = values
        own = start, stop, ordinal, line, sha256, file_sha256
        return FileRange(FastaFile(*file), *own, counts and Counts(*counts))


beam.coders.registry.register_coder(FileRange, FileRangeCoder)


class _Stream:
    """The bytes of a file, taken piece by piece."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    @property
    def is_at_end(self) -> bool:
        """Whether all was taken."""
        self._rest = self._rest or next(self._chunks, b"")
        return not self._rest

    def take(self, size: int) -> Iterator[bytes]:
        """Yields at least ``size`` bytes, up to the next line that is a header, or to the end."""
        held = b""  # what a header may begin with
        taken = 0
        while not self.is_at_end:
            text, self._rest = held + self._rest, b""
            # It begins behind a line end, which may be the last byte before.
            found = _HEADER.search(text, max(size - taken - 1, 0))
            if found:
                self._rest = text[found.start(1) :]
                yield text[: found.start(1)]
                return
            edge = max(len(text) - _HEADER_BYTES, 0)
            held = text[edge:]
            taken += edge
            yield text[:edge]
        yield held


class _Piece:
    """The bytes of a range, counted and hashed on their way."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.digest = hashlib.sha256()
        self.size = 0
        self.lines = 0

    def __iter__(self) -> Iterator[bytes]:
        last = b""
        for chunk in self._chunks:
            self.digest.update(chunk)
            self.size += len(chunk)
            self.lines += chunk.count(b"\n") + chunk.count(b"\r") - chunk.count(b"\r\n")
            self.lines -= last == b"\r" and chunk.startswith(b"\n")
            last = chunk[-1:] or last
            yield chunk


def cut_file(file: FastaFile, range_bytes: int = RANGE_BYTES) -> list[FileRange]:
    """Cuts a large plain file into ranges; this reads it to its end, once.

    Args:
        file: The file.
        range_bytes: A range has at least so many bytes and ends before the next record; the last
            one has the rest.

    Returns:
        The ranges, which together are the file; the whole file if it is small, compressed,
        cannot be read, is not FASTA or is not the version that it must be: what is to be done
        about that shows when it is read. Nothing after a stop was requested.
    """
    whole = [FileRange(file)]
    try:
        if file.size <= range_bytes or not is_plain(
            b"".join(storage.open_chunks(file.url, start=0, stop=MAGIC_BYTES))
        ):
            return whole
        digest = hashlib.sha256()
        stream = _Stream(hashed(storage.open_chunks(file.url), digest))
        ranges, counts = _scan(stream, file, range_bytes)
    except StoppedError:
        return []
    except (FastaFormatError, OSError):
        return whole
    file_sha256 = digest.hexdigest()
    if not ranges or file.sha256 not in ("", file_sha256):
        return whole
    events.emit(events.FileOpened(file.source, file.size, counts.records, counts.residues))
    ranges[-1] = replace(ranges[-1], counts=counts)
    return [replace(each, file_sha256=file_sha256) for each in ranges]


def _scan(stream: _Stream, file: FastaFile, range_bytes: int) -> tuple[list[FileRange], Counts]:
    ranges: list[FileRange] = []
    start = records = residues = 0
    line = 1
    while not stream.is_at_end:
        piece = _Piece(stream.take(range_bytes))
        counts = scan_fasta(piece, line)
        stop = start + piece.size
        ranges.append(FileRange(file, start, stop, records, line, piece.digest.hexdigest()))
        start, line = stop, line + piece.lines
        records, residues = records + counts.records, residues + counts.residues
    return ranges, Counts(records, residues)


def read_range(part: FileRange) -> Iterator[Item]:
    """Yields the records of a range, lazily, and after those of the last range the EndOfFile.

    All ranges of a file together yield what ``reading.read_items`` does. The last
    item of a range comes only when its bytes have proved to be those that were counted; else a
    DeadLetter of the file comes instead, and without that item the file is never complete.
    After a stop was requested nothing more comes.

    Args:
        part: The range.
    """
    if part.stop is None:
        yield from read_items(part.file)
    else:
        yield from second_pass(part.file, _items_of(part, part.stop))


def _items_of(part: FileRange, stop: int) -> Iterator[Item]:
    file = part.file
    digest = hashlib.sha256()
    held: Item | None = None
    chunks = hashed(storage.open_chunks(file.url, start=part.start, stop=stop), digest)
    for record in parse_fasta(chunks, part.ordinal, part.line):
        if stop_requested():
            return
        if held is not None:
            yield held
        held = item_of(record, file.source, part.file_sha256)
    if digest.hexdigest() != part.sha256:
        yield changed(file)
        return
    if held is not None:
        yield held
    if part.counts is not None:
        yield end_of(file, part.file_sha256, part.counts)
