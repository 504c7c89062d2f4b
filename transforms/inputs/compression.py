"""Decompression told by content, never by name, that does not end before its data do.

A file is a row of members: gzip files may be concatenated, bgzip makes one member per block,
xz and zstd files may hold many streams. Every member is read to its own end mark, whatever
follows the last one must be padding, and all else is an error that names the byte.
"""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import zstandard

from transforms.errors import FastaFormatError

MAGIC_BYTES = 6
"""So many bytes tell how data are compressed."""

_INPUT_BYTES = 1 << 14
_OUTPUT_BYTES = 1 << 20
_XZ_MEMORY_BYTES = 1 << 28  # xz -9 needs 65 MiB; a header may ask for 4 GiB
_AGAIN = "copy or fetch it again"
_ZIP = re.compile(rb"PK(\x03\x04|\x05\x06)")

BOMB_BYTES = 1 << 30
"""What any file may expand to."""

BOMB_RATIO = 500
"""How many times its size a file may expand to beyond that: proteins do some 2 times, and only
gigabytes of copies of one protein come near."""


class TruncatedError(FastaFormatError):
    """Compressed data that end before their end mark."""


class CorruptError(FastaFormatError):
    """Compressed data that are damaged, or followed by something else."""


class BombError(FastaFormatError):
    """Compressed data that expand so much that they are no proteins."""


class _Member(Protocol):
    """What the decompressors of zlib, bz2 and lzma have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _ZstdMember:
    """A zstd frame behind the interface of zlib.

    zstandard cannot bound its output, so its input is bounded instead: no 4 bytes of it stand
    for more than 128 KiB, hence no step for more than 32 MiB.
    """

    _INPUT_BYTES = 1 << 10
    _HEADER_BYTES = 18

    def __init__(self) -> None:
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._start = b""
        self._size = 0
        self.unconsumed_tail = b""

    @property
    def eof(self) -> bool:
        return self._frame.eof

    @property
    def unused_data(self) -> bytes:
        return self._frame.unused_data + self.unconsumed_tail if self.eof else b""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        data, self.unconsumed_tail = data[: self._INPUT_BYTES], data[self._INPUT_BYTES :]
        self._start = (self._start + data)[: self._HEADER_BYTES]
        output = self._frame.decompress(data)
        self._size += len(output)
        # zstandard itself does not check this where the last block is empty.
        if self.eof and zstandard.frame_content_size(self._start) not in (-1, self._size):
            raise zstandard.ZstdError(f"{self._size:,} bytes are not what the frame declares")
        return output


def _new_xz_member() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    magic: re.Pattern[bytes]
    new_member: Callable[[], _Member]


_KINDS = (
    _Kind("gzip", re.compile(rb"\x1f\x8b"), lambda: zlib.decompressobj(wbits=31)),
    _Kind("bzip2", re.compile(rb"BZh[1-9]"), bz2.BZ2Decompressor),
    _Kind("xz", re.compile(rb"\xfd7zXZ\x00"), _new_xz_member),
    _Kind(
        "zstd",
        # A frame, or a skippable frame, with which pzstd begins.
        re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
        _ZstdMember,
    ),
)


class _Source:
    """Chunks of bytes with a position, a look ahead and a step back."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._chunk = b""
        self._at = 0
        self._before = 0

    @property
    def position(self) -> int:
        """How many bytes were taken."""
        return self._before + self._at

    def peek(self, size: int) -> bytes:
        """Returns the next bytes without taking them; fewer only at the end of the data."""
        while len(self._chunk) - self._at < size:
            following = next(self._chunks, None)
            if following is None:
                break
            self._before += self._at
            self._chunk = self._chunk[self._at :] + following
            self._at = 0
        return self._chunk[self._at : self._at + size]

    def take(self, size: int) -> bytes:
        """Takes at least one and at most ``size`` bytes; nothing at the end of the data."""
        self.peek(1)
        taken = self._chunk[self._at : self._at + size]
        self._at += len(taken)
        return taken

    def step_back(self, size: int) -> None:
        """Gives back the end of what was taken last."""
        self._at -= size

    def rest(self) -> Iterator[bytes]:
        """Yields all that is left, chunk by chunk."""
        yield self._chunk[self._at :]
        # Not ``yield from``: closed on the way, it would close what others may want to read on.
        for chunk in self._chunks:  # noqa: UP028
            yield chunk


def is_plain(start: bytes) -> bool:
    """Tells whether data that begin so are text as they are."""
    return not _ZIP.match(start) and not any(kind.magic.match(start) for kind in _KINDS)


def decompress(
    chunks: Iterable[bytes], bomb_bytes: int = BOMB_BYTES, bomb_ratio: int = BOMB_RATIO
) -> Iterator[bytes]:
    """Yields the text of plain, gzip, bzip2, xz or zstd data.

    Args:
        chunks: The bytes of one file, cut anywhere.
        bomb_bytes: What compressed data may always expand to.
        bomb_ratio: How many times their size they may expand to beyond that.

    Raises:
        FastaFormatError: The data are truncated, damaged or followed by something else, expand
            too much, or are a zip archive. What came before has been yielded by then.
    """
    source = _Source(chunks)
    start = source.peek(MAGIC_BYTES)
    if _ZIP.match(start):
        raise FastaFormatError(
            "this is a zip archive, which may hold many files: unzip it and give its FASTA files"
        )
    kind = next((kind for kind in _KINDS if kind.magic.match(start)), None)
    if kind is None:
        yield from source.rest()
        return
    expanded = 0
    while start:
        if not kind.magic.match(start):
            raise CorruptError(
                f"the {kind.name} data end at byte {source.position:,}, "
                f"but something else follows: the file is damaged; {_AGAIN}"
            )
        for piece in _read_member(source, kind):
            expanded += len(piece)
            if expanded > max(bomb_bytes, bomb_ratio * source.position):
                raise BombError(
                    f"the {kind.name} data expand to more than {bomb_ratio:,} times their size: "
                    f"{expanded:,} bytes came out of the first {source.position:,}, "
                    "so this is no file of proteins"
                )
            yield piece
        _skip_padding(source)
        start = source.peek(MAGIC_BYTES)


def _read_member(source: _Source, kind: _Kind) -> Iterator[bytes]:
    member = kind.new_member()
    while not member.eof:
        start = source.position
        data = source.take(_INPUT_BYTES)
        if not data:
            raise TruncatedError(
                f"the {kind.name} data end early, after {start:,} bytes: the file is truncated; "
                f"{_AGAIN}"
            )
        try:
            yield from _inflate(member, data)
        except (zlib.error, OSError, lzma.LZMAError, zstandard.ZstdError) as error:
            raise CorruptError(
                f"the {kind.name} data are damaged between bytes {start:,} and "
                f"{source.position:,} ({error}); {_AGAIN}"
            ) from error
    source.step_back(len(member.unused_data))


def _inflate(member: _Member, data: bytes) -> Iterator[bytes]:
    """Feeds data to a member until it wants more, and yields its output in bounded pieces."""
    while True:
        output = member.decompress(data, _OUTPUT_BYTES)
        for start in range(0, len(output), _OUTPUT_BYTES):
            yield output[start : start + _OUTPUT_BYTES]
        # zlib hands back the input that it had no room for; bz2 and lzma keep it.
        data = getattr(member, "unconsumed_tail", b"")
        if member.eof or (not data and len(output) < _OUTPUT_BYTES):
            return


def _skip_padding(source: _Source) -> None:
    """Passes over zero bytes after a member, as gzip and xz do: tapes and disks pad with them."""
    while source.peek(1) == b"\0":
        source.step_back(len(source.take(_INPUT_BYTES).lstrip(b"\0")))
