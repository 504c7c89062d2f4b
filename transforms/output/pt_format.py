"""The ``_ESM.pt`` format, written as it comes.

``torch.save`` holds an object for each tensor and remembers all that it has written: of a file of
200,000 records that is twice the size of the vectors. Here the same content goes out block by
block: a zip archive of the vectors, one storage that all tensors share, and of the pickle that
says where in it each of them lies.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import BinaryIO

import numpy as np

from transforms.arrays import Vectors
from transforms.output.pt_archive import Archive

# What `torch.save` writes of pickle's protocol 2, and `torch.load(weights_only=True)` reads.
_PROTO, _STOP, _MARK = b"\x80\x02", b".", b"("
_EMPTY_DICT, _SETITEMS, _EMPTY_LIST, _APPENDS = b"}", b"u", b"]", b"e"
_EMPTY_TUPLE, _TUPLE1, _TUPLE = b")", b"\x85", b"t"
_FALSE, _REDUCE, _PERSISTENT, _PUT, _GET = b"\x89", b"R", b"Q", b"q", b"h"

_RECORDS_AT_ONCE = 1000


def write_pt(handle: BinaryIO, ids: Sequence[str], blocks: Iterable[Vectors]) -> str:
    """Writes ids and vectors so that ``torch.load`` returns what ``torch.save`` was given.

    Equal ids and vectors give equal bytes.

    Args:
        handle: Where to write; it is never read and need not be able to seek.
        ids: n ids.
        blocks: float32 arrays of shape (any, D), together n rows; each is let go when written.

    Returns:
        The SHA-256 of what was written.

    Raises:
        ValueError: There are more or fewer rows than ids.
    """
    writer = PtWriter(handle)
    if ids:
        # Unlike a loop, `map` does not hold a block while the next one is made.
        deque(map(writer.add, blocks), maxlen=0)
    return writer.close(ids)


class PtWriter:
    """Writes a file of that format while its vectors come; see :func:`write_pt`.

    Args:
        handle: Where to write.
    """

    def __init__(self, handle: BinaryIO) -> None:
        self._archive = Archive(handle)
        self._rows = self._dim = 0

    def add(self, block: Vectors) -> None:
        """Writes vectors, float32 of shape (any, D)."""
        if not self._dim:
            # First, because its local header of 64 bytes aligns it as torch.load(mmap=True) likes.
            self._archive.begin("archive/data/0")
        self._rows, self._dim = self._rows + block.shape[0], block.shape[1]
        data = np.ascontiguousarray(block, dtype="<f4").reshape(-1).view(np.uint8).data
        self._archive.write(data)

    def close(self, ids: Sequence[str]) -> str:
        """Writes the ids, one for each vector, and returns the SHA-256 of all that was written.

        Raises:
            ValueError: There are more or fewer vectors.
        """
        if self._rows != len(ids):
            raise ValueError(f"{len(ids):,} ids, but {self._rows:,} vectors")
        archive = self._archive
        if self._dim:
            archive.end()
        archive.add("archive/data.pkl", _joined(_pickle(ids, self._dim)))
        archive.add("archive/byteorder", [b"little"])
        archive.add("archive/version", [b"3\n"])
        return archive.close()


def _pickle(ids: Sequence[str], dim: int) -> Iterator[bytes]:
    """Yields the pickle of ``{"proteins": ids, "data": tensors}``."""
    yield _PROTO + _EMPTY_DICT + _MARK + _text("proteins") + _EMPTY_LIST
    yield from _append(_text(name) for name in ids)
    yield _text("data") + _EMPTY_LIST
    yield from _append(_tensors(len(ids), dim))
    yield _SETITEMS + _STOP


def _append(items: Iterable[bytes]) -> Iterator[bytes]:
    """Yields what appends items to a list."""
    for held in _joined(items):
        yield _MARK + held + _APPENDS


def _joined(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yields many pieces as one: to write each by itself takes longer than to make it."""
    pieces = iter(pieces)
    while held := list(islice(pieces, _RECORDS_AT_ONCE)):
        yield b"".join(held)


def _tensors(rows: int, dim: int) -> Iterator[bytes]:
    """Yields what makes each tensor: a call that names the storage and a place in it."""
    storage = _text("storage") + _global("torch FloatStorage") + _text("0") + _text("cpu")
    shared = (
        _global("torch._utils _rebuild_tensor_v2"),
        _MARK + storage + _integer(rows * dim) + _TUPLE + _PERSISTENT,
        _integer(dim) + _TUPLE1,
        _integer(1) + _TUPLE1,
        _global("collections OrderedDict"),
    )
    # The first tensor spells out what all share; the others refer to it by number.
    first = [code + _PUT + bytes([number]) for number, code in enumerate(shared)]
    others = [_GET + bytes([number]) for number in range(len(shared))]
    for row in range(rows):
        function, storage, size, stride, hooks = others if row else first
        arguments = storage + _integer(row * dim) + size + stride + _FALSE
        arguments += hooks + _EMPTY_TUPLE + _REDUCE
        yield function + _MARK + arguments + _TUPLE + _REDUCE


def _text(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def _global(name: str) -> bytes:
    return b"c" + name.replace(" ", "\n").encode() + b"\n"


def _integer(number: int) -> bytes:
    if number < 1 << 8:
        return b"K" + struct.pack("<B", number)
    if number < 1 << 31:
        return b"J" + struct.pack("<i", number)
    data = number.to_bytes(number.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data
