"""Files: what all else reads and writes them by, wherever they are.

Local paths go through the operating system (:mod:`transforms.local`), every other scheme through
Beam's FileSystems (:mod:`transforms.remote`). What is published appears whole or not at all.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO, TextIO, cast

from apache_beam.io.filesystem import FileMetadata
from apache_beam.io.filesystems import FileSystems

from transforms import local, remote
from transforms.retrying import Attempts, as_os_error

CHUNK_BYTES = 1 << 20
STAGING = ".staging"

Write = Callable[[BinaryIO], object]
"""Writes the content of a file to the binary handle that it is given."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file that a pattern matched.

    Attributes:
        url: Where it is.
        size: Its bytes.
        mtime: When it was last changed, seconds since the epoch.
    """

    url: str
    size: int
    mtime: float


def is_local(url: str) -> bool:
    """Tells whether a path has no scheme such as ``gs://``."""
    return FileSystems.get_scheme(url) is None


def absolute(url: str) -> str:
    """Returns a local path made absolute, any other URL as it is."""
    return os.path.abspath(os.path.expanduser(url)) if is_local(url) else url


def resolve(url: str) -> str:
    """Returns where a local path leads, through links; any other URL as it is."""
    return os.path.realpath(url) if is_local(url) else url


def join(url: str, *names: str) -> str:
    """Returns the URL of something below a folder."""
    return os.path.join(url, *names) if is_local(url) else "/".join((url.rstrip("/"), *names))


def is_directory(url: str) -> bool:
    """Tells whether a URL names a folder; on an object store, whether anything lies below it."""
    if is_local(url):
        return os.path.isdir(url)
    return not exists(url) and bool(match(url.rstrip("/") + "/"))


def exists(url: str) -> bool:
    """Tells whether a file or local folder is there."""
    return os.path.exists(url) if is_local(url) else remote.exists(url)


def match(pattern: str) -> list[Found]:
    """Lists the files that a path, a glob or a folder stands for, sorted by URL.

    A folder stands for every file below it, as ``**`` does; symbolic links to folders are not
    followed. What exists as it is written, and a URL that ends in ``/``, is not taken for a glob.
    """
    if not is_local(pattern):
        files = remote.list_below(pattern) if pattern.endswith("/") else remote.match(pattern)
        return sorted(map(_found, files), key=lambda found: found.url)
    found = []
    for path in local.list_paths(pattern):
        # One call: between two of them a file that others move away may go.
        with suppress(OSError):
            status = os.stat(path)
            if stat.S_ISREG(status.st_mode):
                found.append(Found(path, status.st_size, status.st_mtime))
    return found


def _found(file: FileMetadata) -> Found:
    return Found(file.path, file.size_in_bytes, file.last_updated_in_seconds)


def look_up(url: str) -> Found | None:
    """Returns a file as it is now; None, or an OSError, where there is none."""
    if is_local(url):
        status = os.stat(url)
        return Found(url, status.st_size, status.st_mtime)
    file = remote.look_up(url)
    return _found(file) if file else None


def open_chunks(
    url: str, chunk_size: int = CHUNK_BYTES, *, start: int = 0, stop: int = sys.maxsize
) -> Iterator[bytes]:
    """Yields the bytes of a file from start to stop as they are, never decompressed.

    A transient failure costs nothing of what was read: it goes on from there.

    Raises:
        OSError: The file cannot be opened or read.
    """
    attempts = Attempts()
    position = start
    with as_os_error():
        while True:
            try:
                with open(url, "rb") if is_local(url) else remote.open_file(url) as handle:
                    if position:
                        handle.seek(position)
                    while chunk := handle.read(min(chunk_size, stop - position)):
                        position += len(chunk)
                        attempts.advanced()
                        yield chunk
                return
            except Exception as error:
                attempts.failed(error)


def read_bytes(url: str) -> bytes:
    """Returns the bytes of a file.

    Raises:
        OSError: The file cannot be opened or read.
    """
    return b"".join(open_chunks(url))


def list_names(folder: str) -> list[str]:
    """Returns the names of the files in a folder, sorted; none where there is no such folder."""
    if is_local(folder):
        if not os.path.isdir(folder):
            return []
        return sorted(entry.name for entry in os.scandir(folder) if entry.is_file())
    prefix = folder.rstrip("/") + "/"
    return sorted(file.path.removeprefix(prefix) for file in remote.list_below(prefix, "*"))


def delete(url: str) -> None:
    """Removes a file, or a folder with all that is in it; nothing where there is nothing."""
    local.delete(url) if is_local(url) else remote.delete(url)


def move(path: str, target: str) -> None:
    """Renames a local file, within its file system; a file of that name is replaced."""
    os.replace(path, target)


def check_writable(root: str) -> None:
    """Makes sure that files can be published below a folder, which is made if need be.

    Raises:
        OSError: They cannot.
    """
    if is_local(root):
        os.makedirs(root, exist_ok=True)
    name = f".writable-{uuid.uuid4().hex}"
    publish(root, name, lambda handle: None)
    delete(join(root, name))


def publish(root: str, name: str, write: Write) -> None:
    """Writes a file below a folder so that it appears whole or not at all.

    Args:
        root: The output root.
        name: Path of the file below it, with ``/``; a file of that name is replaced.
        write: Writes the content to the binary handle that it is given.

    Raises:
        OSError: The file cannot be written, or the root is gone; nothing of it is left.
    """
    publish_all(root, {name: write})


def publish_all(root: str, files: Mapping[str, Write]) -> None:
    """Writes files below a folder so that each of them appears whole or not at all.

    Like :func:`publish` of each, but faster for many small ones: all are written, then all are
    synced at the same time, and then they appear, in order. Only an upload is one for each.

    Args:
        root: The output root.
        files: What writes the content, for each path below it.
    """
    if is_local(root):
        local.publish_all(root, STAGING, files)
        return
    for name, write in files.items():
        remote.upload(join(root, name), write)


def open_scratch(root: str) -> BinaryIO:
    """Opens a file that nobody else sees and that is gone when it is closed.

    Args:
        root: An output root; if it is local, the file is on its disk, where there is room for
            what belongs there.
    """
    folder = local.make_staging(root, STAGING) if is_local(root) else None
    return cast(BinaryIO, tempfile.TemporaryFile(dir=folder))


def stage(root: str, name: str) -> BinaryIO:
    """Opens a file that is written before it is published: by being moved to a ``Write``'s handle.

    Args:
        root: A local output root.
        name: Path of the file below it.
    """
    return open(local.staged_path(local.make_staging(root, STAGING), name), "wb")


def open_log(path: str) -> TextIO:
    """Opens a local text file to which lines are appended; what UTF-8 lacks is escaped."""
    return open(path, "a", encoding="utf-8", errors="backslashreplace")


def overwrite(url: str, data: bytes) -> None:
    """Writes a small file whose folder is there; a reader finds the old one or the new one.

    Unlike what is published it need not outlive a power cut.

    Raises:
        OSError: It cannot be written, or its folder is gone.
    """
    if is_local(url):
        local.overwrite(url, data)
    else:
        remote.upload(url, lambda handle: handle.write(data))
