"""The SHA-256 of what is written, taken while it is written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import BinaryIO


def write_hashed(handle: BinaryIO, write: Callable[[BinaryIO], object]) -> str:
    """Lets something write to a handle, and returns the SHA-256 of all that it wrote.

    Args:
        handle: Where the bytes go.
        write: Writes, one thing after the other, to the handle that it is given.
    """
    hashing = _HashingWriter(handle)
    write(hashing)  # type: ignore[arg-type]
    return hashing.digest.hexdigest()


class _HashingWriter:
    """The part of a binary handle that sequential writers use, with a running SHA-256."""

    def __init__(self, handle: BinaryIO) -> None:
        self._handle = handle
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self._handle.write(data)

    def flush(self) -> None:
        self._handle.flush()
