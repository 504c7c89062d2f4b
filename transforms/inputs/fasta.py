"""The FASTA parser: bytes in, records out, and no record lost or changed in silence.

It reads what people have: any line ends, a byte order mark, blank lines, comments, wrapped or
endless lines, records without an id. What is not FASTA is refused with the number of the line;
what is wrong with one record alone is left to the steps that follow.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from transforms.errors import FastaFormatError

MAX_RECORD_RESIDUES = 1_000_000
"""Longest record whose sequence is kept, also in a dead letter; else only its length is known."""

MAX_HEADER_BYTES = 1_000_000
"""Longest header line; a file with a longer one is refused."""

MAX_MARKS = 8
"""Byte order marks that a line may begin with."""

_WHITESPACE = b" \t\n\r\v\f"
_COMMENT = re.compile(rb"^;[^\n]*", re.MULTILINE)
_BYTE_ORDER_MARKS = re.compile(rb"^(?:%s){1,%d}" % (codecs.BOM_UTF8, MAX_MARKS), re.MULTILINE)
_LOOKS_LIKE = (
    (b"@", "FASTQ (sequencing reads)"),
    (b"LOCUS", "GenBank or GenPept"),
    (b"ID   ", "EMBL or UniProt text"),
    (b"# STOCKHOLM", "a Stockholm alignment"),
    (b"CLUSTAL", "a Clustal alignment"),
    (b"#NEXUS", "NEXUS"),
    (b"HEADER ", "PDB"),
    (b"ATOM  ", "PDB"),
    (b"data_", "mmCIF"),
    (b"<", "HTML or XML, perhaps an error page that was saved as FASTA"),
    (b"{", "JSON"),
)


class FastaRecord(NamedTuple):
    """One record as it stands in the file.

    Attributes:
        ordinal: Position in the file, from 0.
        line: Line of the header, from 1.
        id: First word of the header; empty if it has none.
        description: The rest of the header, stripped.
        sequence: The residues without white space, in their own case; None above
            ``MAX_RECORD_RESIDUES``.
        length: Number of residues; where ``sequence`` is None, of their bytes.
    """

    ordinal: int
    line: int
    id: str
    description: str
    sequence: str | None
    length: int


@dataclass(frozen=True, slots=True)
class Counts:
    """What a file holds.

    Attributes:
        records: Number of records, empty and too long ones too.
        residues: Number of their residues.
    """

    records: int
    residues: int


def scan_fasta(chunks: Iterable[bytes], line: int = 1) -> Counts:
    """Reads a file, or a part of one that begins with a header, to its end and counts.

    Args:
        chunks: Its bytes, decompressed and cut anywhere.
        line: Number of its first line, for messages.

    Raises:
        FastaFormatError: The file is not FASTA.
    """
    records = residues = 0
    for _, _, sequence, size in _parse(chunks, line):
        records += 1
        if sequence is not None and not sequence.isascii():
            size = len(_decode(sequence))
        residues += size
    return Counts(records, residues)


def parse_fasta(chunks: Iterable[bytes], ordinal: int = 0, line: int = 1) -> Iterator[FastaRecord]:
    """Yields the records of a file, or of a part that begins with a header, one by one.

    Lines that start with ``;``, and those with ``#`` before the first header, are comments.

    Args:
        chunks: The bytes, decompressed and cut anywhere.
        ordinal: Position of the first record in its file, from 0.
        line: Number of the first line in its file, from 1.

    Raises:
        FastaFormatError: The file is not FASTA; the records before that were yielded.
    """
    for position, (header_line, header, residues, size) in enumerate(_parse(chunks, line), ordinal):
        words = _decode(header).split(None, 1)
        sequence = None if residues is None else _decode(residues)
        yield FastaRecord(
            position,
            header_line,
            words[0] if words else "",
            words[1].rstrip() if len(words) > 1 else "",
            sequence,
            size if sequence is None else len(sequence),
        )


_Parsed = tuple[int, bytes, bytes | None, int]
"""Line and header of a record, its residues unless they are too many, and how many bytes."""


def _parse(chunks: Iterable[bytes], line: int) -> Iterator[_Parsed]:
    record: _OpenRecord | None = None
    in_comment = False
    for text, is_rest_of_line in _blocks(_text(chunks, line)):
        if is_rest_of_line:
            entries = [b"" if in_comment else text]
        else:
            text = _without_byte_order_marks(text)
            in_comment = text.startswith((b";", b"#") if record is None else b";")
            entries = _entries(text)
        number = line
        if record is None:
            _check_preamble(entries[0], number, is_rest_of_line)
        else:
            record.add(entries[0])
        number += entries[0].count(b"\n")
        for entry in entries[1:]:
            if record is not None:
                yield record.close()
            record = _OpenRecord(number, entry)
            number += 1 + entry.count(b"\n")
        line += text.count(b"\n")
    if record is not None:
        yield record.close()


def _entries(text: bytes) -> list[bytes]:
    """Cuts whole lines at the headers, without comments.

    The first entry is what stands before the first header, with an LF before it unless it is
    empty; each other one is a header without its ``>`` and the lines up to the next.
    """
    if text.startswith(b";") or b"\n;" in text:
        text = _COMMENT.sub(b"", text)
    return (b"\n" + text).split(b"\n>")


def _without_byte_order_marks(text: bytes) -> bytes:
    """Drops the UTF-8 marks of every line: concatenated files have them not only at the start."""
    return _BYTE_ORDER_MARKS.sub(b"", text) if codecs.BOM_UTF8 in text else text


class _OpenRecord:
    """A record to which lines are still added."""

    __slots__ = ("_header", "_line", "_residues", "_size")

    def __init__(self, line: int, entry: bytes) -> None:
        self._line = line
        self._header, _, body = entry.partition(b"\n")
        if len(self._header) > MAX_HEADER_BYTES:
            raise FastaFormatError(
                f"line {line:,} is a header of more than {MAX_HEADER_BYTES:,} bytes: "
                "this seems not to be FASTA"
            )
        residues = body.translate(None, _WHITESPACE)
        self._size = len(residues)
        self._residues = [residues] if self._size <= MAX_RECORD_RESIDUES else []

    def add(self, lines: bytes) -> None:
        """Appends sequence lines, or a part of one."""
        residues = lines.translate(None, _WHITESPACE)
        self._size += len(residues)
        if self._size <= MAX_RECORD_RESIDUES:
            self._residues.append(residues)
        else:
            self._residues.clear()

    def close(self) -> _Parsed:
        """Returns the record."""
        is_kept = self._size <= MAX_RECORD_RESIDUES
        residues = b"".join(self._residues) if is_kept else None
        return self._line, self._header, residues, self._size


def _decode(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _check_preamble(text: bytes, line: int, is_rest_of_line: bool) -> None:
    """Refuses text before the first header, unless it is blank or a ``#`` comment."""
    for number, opening in enumerate(text.removeprefix(b"\n").split(b"\n"), line):
        seems = next((what for start, what in _LOOKS_LIKE if opening.startswith(start)), None)
        is_comment = opening.startswith(b"#") and not is_rest_of_line
        if seems is None and (is_comment or not opening.strip(_WHITESPACE)):
            continue
        quoted = _decode(opening.strip(_WHITESPACE)[:40])
        raise FastaFormatError(
            f"line {number:,} stands before the first header (a line that starts with '>'): "
            f"{quoted!r}; "
            + (f"this seems to be {seems}" if seems else "this is not FASTA")
            + ". Give the sequences as FASTA, each below a line with '>' and its id"
        )


def _blocks(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yields blocks of whole lines, so that a header or comment is seen from its beginning.

    Only a line longer than any header comes in parts: True goes with all but its first.
    """
    held: list[bytes] = []
    size = 0
    is_cut = False
    for chunk in chunks:
        if is_cut:
            end, line_end, chunk = chunk.partition(b"\n")
            yield end + line_end, True
            is_cut = not line_end
        end_of_lines = chunk.rfind(b"\n") + 1
        if end_of_lines:
            yield b"".join((*held, chunk[:end_of_lines])), False
            held, size = [], 0
        held.append(chunk[end_of_lines:])
        size += len(held[-1])
        if size > MAX_HEADER_BYTES + MAX_MARKS * len(codecs.BOM_UTF8) + len(b">"):
            yield b"".join(held), False
            held, size, is_cut = [], 0, True
    if size:
        yield b"".join(held), False


def _text(chunks: Iterable[bytes], line: int) -> Iterator[bytes]:
    """Yields the chunks with LF for every line end, and refuses what is not text."""
    carriage_return = b""
    for chunk in _refuse_utf16(chunks):
        text = carriage_return + chunk
        # Whether a CR at the edge stands alone shows in the next chunk.
        carriage_return = b"\r" if text.endswith(b"\r") else b""
        text = text.removesuffix(b"\r")
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        before, nul, _ = text.partition(b"\0")
        yield before
        line += before.count(b"\n")
        if nul:
            raise FastaFormatError(
                f"line {line:,} holds a NUL byte: this seems to be a binary file or UTF-16 text"
            )
    if carriage_return:
        yield b"\n"


def _refuse_utf16(chunks: Iterable[bytes]) -> Iterator[bytes]:
    chunks = iter(chunks)
    start = b""
    for chunk in chunks:
        start += chunk
        if len(start) >= len(codecs.BOM_UTF32):
            break
    # The mark of little-endian UTF-32 begins with that of UTF-16.
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)):
        raise FastaFormatError(
            "line 1 begins with the byte order mark of UTF-16 or UTF-32: save the file as UTF-8"
        )
    yield start
    yield from chunks
