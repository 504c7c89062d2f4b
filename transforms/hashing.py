"""The SHA-256 of what is written, taken while it is written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import BinaryIO


class Hashed:
    """Writes a file and takes the SHA-256 of it.

    Args:
        write: Writes, one thing after the other, to the handle that it is given.

    Attributes:
        digest: Of all that was written the last time; empty before.
    """

    def __init__(self, write: Callable[[BinaryIO], object]) -> None:
        self.digest = ""
        self._write = write

    def __call__(self, handle: BinaryIO) -> None:
        """Writes to a handle."""
        hashing = _HashingWriter(handle)
        self._write(hashing)  # type: ignore[arg-type]
        self.digest = hashing.digest.hexdigest()


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
