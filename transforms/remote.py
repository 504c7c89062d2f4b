"""Files of every file system but the local one, through Beam's FileSystems.

For :mod:`transforms.storage`, which decides what is local. Each call is made again where it fails
and that may help.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable
from typing import BinaryIO, TypeVar

from apache_beam.io.filesystem import CompressionTypes, FileMetadata
from apache_beam.io.filesystems import FileSystems

from transforms.retrying import as_os_error, retry

Result = TypeVar("Result")
_PLAIN = CompressionTypes.UNCOMPRESSED
_WILDCARD = re.compile(r"[*?[]")


def _again(action: Callable[[], Result]) -> Result:
    with as_os_error():
        return retry(action)


def exists(url: str) -> bool:
    """Tells whether there is a file."""
    return _again(lambda: bool(FileSystems.exists(url)))


def match(pattern: str) -> list[FileMetadata]:
    """Returns the files that a pattern stands for, without what only looks like a folder.

    The name of a file that is there is no pattern.
    """

    def match_now() -> list[FileMetadata]:
        return _match(_escape(pattern)) or (_match(pattern) if _WILDCARD.search(pattern) else [])

    return _again(match_now)


def look_up(url: str) -> FileMetadata | None:
    """Returns a file by its name, which is no pattern; None where there is none."""
    return next(iter(_again(lambda: _match(_escape(url)))), None)


def list_below(folder: str, pattern: str = "**") -> list[FileMetadata]:
    """Returns the files below a folder, whose name ends in ``/`` and is no pattern."""
    return _again(lambda: _match(_escape(folder) + pattern))


def _match(pattern: str) -> list[FileMetadata]:
    (result,) = FileSystems.match([pattern])
    return [file for file in result.metadata_list if not file.path.endswith("/")]


def _escape(name: str) -> str:
    """Returns a pattern for a name as it is written."""
    # One of a set. That of [ alone would be no pattern that Python likes.
    return _WILDCARD.sub(lambda found: f"[\0{found[0]}]", name)


def open_file(url: str) -> BinaryIO:
    """Opens a file to be read as it is; this is tried once."""
    handle: BinaryIO = FileSystems.open(url, compression_type=_PLAIN)
    return handle


def delete(url: str) -> None:
    """Removes a file, or all that lies below a folder; nothing where there is nothing."""

    def delete_now() -> None:
        # Listed at each attempt: the one before may have deleted some.
        (below,) = FileSystems.match([f"{_escape(url.rstrip('/'))}/**"])
        urls = [file.path for file in below.metadata_list] or [url] * FileSystems.exists(url)
        # There, and nowhere else, Beam takes what is to be deleted for patterns.
        FileSystems.delete([_escape(each) if each.startswith("gs://") else each for each in urls])

    _again(delete_now)


def upload(url: str, write: Callable[[BinaryIO], object]) -> None:
    """Writes a file in one upload."""
    # Closing an upload publishes it, also after an error: it is begun when all is written.
    with tempfile.TemporaryFile() as staged:
        write(staged)

        def put() -> None:
            staged.seek(0)
            with FileSystems.create(url, compression_type=_PLAIN) as handle:
                shutil.copyfileobj(staged, handle)

        _again(put)
