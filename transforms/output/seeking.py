"""A file of any file system of which only some parts are read, as Arrow reads columns."""

from __future__ import annotations

import errno
import io
import os

from transforms import storage


class SeekableFile(io.RawIOBase):
    """A file that is fetched part by part, as they are asked for.

    Args:
        url: Where it is.

    Attributes:
        failure: Why it could not be read; None if nothing has failed. Arrow tells damage by
            errors of the same types.

    Raises:
        FileNotFoundError: It is not there.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        found = storage.look_up(url)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), url)
        self._url = url
        self._size = found.size
        self._position = 0
        self.failure: OSError | None = None

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Returns where the next read begins."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Sets where the next read begins."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = origin + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Returns the next bytes; fewer than asked for only at the end."""
        rest = self._size - self._position
        wanted = rest if size is None or size < 0 else min(size, rest)
        if wanted <= 0:
            return b""
        start = self._position
        try:
            data = b"".join(storage.open_chunks(self._url, start=start, stop=start + wanted))
        except OSError as error:
            self.failure = error
            raise
        self._position += len(data)
        return data
