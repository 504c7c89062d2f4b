"""Files: the only module that touches a file system.

Local paths go through the operating system, every other scheme through Beam's FileSystems.
What is published appears whole or not at all: locally it is staged below the output root,
synced and renamed; an object store does the same for one upload.
"""

from __future__ import annotations

import fcntl
import glob
import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

CHUNK_BYTES = 1 << 20
STAGING, LOCK = ".staging", ".lock"


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


@contextmanager
def _as_os_error() -> Iterator[None]:
    """Turns what Beam raises for a file system into what Python raises for a local one."""
    try:
        yield
    except (BeamIOError, ValueError, ImportError) as error:
        raise OSError(" ".join(str(error).split())) from error


def is_local(url: str) -> bool:
    """Tells whether a path has no scheme such as ``gs://``."""
    return FileSystems.get_scheme(url) is None


def absolute(url: str) -> str:
    """Returns a local path made absolute, any other URL as it is."""
    return os.path.abspath(os.path.expanduser(url)) if is_local(url) else url


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
    if is_local(url):
        return os.path.exists(url)
    with _as_os_error():
        return bool(FileSystems.exists(url))


def match(pattern: str) -> list[Found]:
    """Lists the files that a path, a glob or a folder stands for, sorted by URL.

    A folder stands for every file below it; symbolic links to folders are not followed.
    A local path that exists as it is written is not taken for a glob.
    """
    if not is_local(pattern):
        return _match_remote(pattern)
    if os.path.isdir(pattern):
        paths = [os.path.join(top, name) for top, _, names in os.walk(pattern) for name in names]
    elif os.path.exists(pattern):
        paths = [pattern]
    else:
        paths = glob.glob(pattern, recursive=True)
    return [_stat(path) for path in sorted(paths) if os.path.isfile(path)]


def _stat(path: str) -> Found:
    status = os.stat(path)
    return Found(path, status.st_size, status.st_mtime)


def _match_remote(pattern: str) -> list[Found]:
    if pattern.endswith("/"):
        pattern += "**"
    with _as_os_error():
        (result,) = FileSystems.match([pattern])
    return sorted(
        (
            Found(file.path, file.size_in_bytes, file.last_updated_in_seconds)
            for file in result.metadata_list
            if not file.path.endswith("/")
        ),
        key=lambda found: found.url,
    )


def open_chunks(url: str, chunk_size: int = CHUNK_BYTES) -> Iterator[bytes]:
    """Yields the bytes of a file as they are, never decompressed.

    Raises:
        OSError: The file cannot be opened or read.
    """
    with _open(url) as handle:
        while chunk := handle.read(chunk_size):
            yield chunk


def read_bytes(url: str) -> bytes:
    """Returns the bytes of a file.

    Raises:
        OSError: The file cannot be opened or read.
    """
    return b"".join(open_chunks(url))


def _open(url: str) -> BinaryIO:
    if is_local(url):
        return open(url, "rb")
    with _as_os_error():
        handle: BinaryIO = FileSystems.open(url, compression_type=CompressionTypes.UNCOMPRESSED)
    return handle


def list_names(folder: str) -> list[str]:
    """Returns the names of the files in a folder, sorted; none where there is no such folder."""
    if is_local(folder):
        if not os.path.isdir(folder):
            return []
        return sorted(entry.name for entry in os.scandir(folder) if entry.is_file())
    prefix = folder.rstrip("/") + "/"
    return sorted(found.url.removeprefix(prefix) for found in _match_remote(prefix + "*"))


def delete(url: str) -> None:
    """Removes a file, or a folder with all that is in it; nothing where there is nothing."""
    if not is_local(url):
        if urls := [found.url for found in match(url.rstrip("/") + "/")] or [url] * exists(url):
            FileSystems.delete(urls)
    elif os.path.isdir(url):
        shutil.rmtree(url)
    elif os.path.lexists(url):
        os.remove(url)


def move(path: str, target: str) -> None:
    """Renames a local file, within its file system; a file of that name is replaced."""
    os.replace(path, target)


def check_writable(root: str) -> None:
    """Makes sure that files can be published below a folder.

    Raises:
        OSError: They cannot.
    """
    name = f".writable-{uuid.uuid4().hex}"
    publish(root, name, lambda handle: None)
    delete(join(root, name))


@contextmanager
def locked(root: str, owner: str) -> Iterator[None]:
    """Holds a local folder for one process, until the ``with`` block or the process ends.

    The lock is the kernel's, so a crash does not leave it shut. Object stores are not locked.

    Args:
        root: The output root.
        owner: Who holds it, in words.

    Raises:
        BlockingIOError: Another process holds it; the message is its owner.
    """
    if not is_local(root):
        yield
        return
    os.makedirs(root, exist_ok=True)
    # Never removed: who opens it must find the file that others have locked.
    with open(os.path.join(root, LOCK), "a+") as handle:
        handle.seek(0)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(handle.read()) from error
        handle.truncate(0)
        handle.write(owner)
        handle.flush()
        yield


def publish(root: str, name: str, write: Callable[[BinaryIO], object]) -> str:
    """Writes a file below a folder so that it appears whole or not at all.

    Args:
        root: The output root.
        name: Path of the file below it, with ``/``; a file of that name is replaced.
        write: Writes the content to the binary handle that it is given.

    Returns:
        The SHA-256 of the content.

    Raises:
        OSError: The file cannot be written; nothing of it is left.
    """
    target = join(root, *name.split("/"))
    if not is_local(root):
        return _upload(target, write)
    staging = os.path.join(root, STAGING)
    os.makedirs(staging, exist_ok=True)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    staged = os.path.join(staging, uuid.uuid4().hex)
    try:
        with open(staged, "wb") as handle:
            digest = _write_hashed(handle, write)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(staged, target)
    except BaseException:
        if os.path.exists(staged):
            os.remove(staged)
        raise
    _sync_folder(os.path.dirname(target))
    return digest


def _upload(target: str, write: Callable[[BinaryIO], object]) -> str:
    # Closing an upload publishes it, also after an error: it is begun when all is written.
    with tempfile.TemporaryFile() as staged:
        digest = _write_hashed(staged, write)
        staged.seek(0)
        with (
            _as_os_error(),
            FileSystems.create(target, compression_type=CompressionTypes.UNCOMPRESSED) as handle,
        ):
            shutil.copyfileobj(staged, handle)
    return digest


def _sync_folder(path: str) -> None:
    """Makes a rename in a local folder survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_hashed(handle: BinaryIO, write: Callable[[BinaryIO], object]) -> str:
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
