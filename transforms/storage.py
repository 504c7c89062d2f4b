"""Files: the only module that touches a file system.

Local paths go through the operating system, every other scheme through Beam's FileSystems.
What is published appears whole or not at all: locally it is staged below the output root,
synced and renamed; an object store does the same for one upload.
"""

from __future__ import annotations

import errno
import glob
import os
import re
import shutil
import stat
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, TextIO, cast

from apache_beam.io.filesystems import FileSystems

from transforms import remote
from transforms.retrying import Attempts, as_os_error
from transforms.syncing import sync_all

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
    followed. A local path that exists as it is written is not taken for a glob.
    """
    if not is_local(pattern):
        return _match_remote(pattern)
    if os.path.isdir(pattern):
        walk = os.walk(pattern, onerror=_fail)
        paths = [os.path.join(top, name) for top, _, names in walk for name in names]
    elif os.path.exists(pattern):
        paths = [pattern]
    else:
        paths = list(_glob(pattern))
    found = (_stat_file(path) for path in sorted(set(paths)))
    return [each for each in found if each]


def look_up(url: str) -> Found | None:
    """Returns a file as it is now; None, or an OSError, where there is none."""
    if is_local(url):
        return _stat(url)
    # A [ in a name makes it a pattern.
    return next((found for found in match(url) if found.url == url), None)


def _fail(error: OSError) -> None:
    raise error  # else os.walk passes over what it cannot look into


def _glob(pattern: str) -> Iterator[str]:
    # Python's own ** follows links to folders, which may lead round in circles for ever.
    head, *tail = re.split(r"(?:(?<=/)|^)\*\*(?:/|$)", pattern, maxsplit=1)
    if not tail:
        yield from glob.glob(pattern)
        return
    for top in glob.glob(head or "."):
        for folder, names, _ in os.walk(top, onerror=_fail):
            names[:] = [name for name in names if not name.startswith(".")]
            yield from _glob(os.path.join(glob.escape(folder), tail[0] or "*"))


def _stat(path: str) -> Found:
    status = os.stat(path)
    return Found(path, status.st_size, status.st_mtime)


def _stat_file(path: str) -> Found | None:
    # One call: between two of them a file that others move away may go.
    try:
        status = os.stat(path)
    except OSError:
        return None
    is_file = stat.S_ISREG(status.st_mode)
    return Found(path, status.st_size, status.st_mtime) if is_file else None


def _match_remote(pattern: str) -> list[Found]:
    files = remote.match(f"{pattern}**" if pattern.endswith("/") else pattern)
    found = (Found(f.path, f.size_in_bytes, f.last_updated_in_seconds) for f in files)
    return sorted(found, key=lambda found: found.url)


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
    return sorted(found.url.removeprefix(prefix) for found in _match_remote(prefix + "*"))


def delete(url: str) -> None:
    """Removes a file, or a folder with all that is in it; nothing where there is nothing."""
    if not is_local(url):
        remote.delete(url)
    elif os.path.isdir(url):
        shutil.rmtree(url)
    elif os.path.lexists(url):
        os.remove(url)


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
    if not is_local(root):
        for name, write in files.items():
            remote.upload(join(root, name), write)
        return
    staging = os.path.join(root, STAGING)
    try:
        os.mkdir(staging)
    except FileExistsError:
        pass
    except FileNotFoundError as error:
        # Not made anew: an output that vanishes under a run must not come back half empty.
        raise FileNotFoundError(errno.ENOENT, "The output folder is gone", root) from error
    # By their names it is known whose they are, should a kill leave them.
    staged = {n: join(staging, f"{n.rpartition('/')[2][:48]}.{uuid.uuid4().hex}") for n in files}
    targets = [join(root, name) for name in files]
    folders = list(dict.fromkeys(map(os.path.dirname, targets)))
    try:
        for name, write in files.items():
            _write_staged(staged[name], write)
        sync_all(list(staged.values()))
        for folder in folders:
            os.makedirs(folder, exist_ok=True)
        for path, target in zip(staged.values(), targets, strict=True):
            os.replace(path, target)
    except BaseException:
        for path in staged.values():
            if os.path.exists(path):
                os.remove(path)
        raise
    sync_all(folders)  # without it a rename need not survive a power cut


def _write_staged(path: str, write: Write) -> None:
    with open(path, "wb") as handle:
        write(handle)


def open_scratch(root: str) -> BinaryIO:
    """Opens a file that nobody else sees and that is gone when it is closed.

    Args:
        root: An output root in which something is published; if it is local, the file is on its
            disk, where there is room for what belongs there.
    """
    folder = os.path.join(root, STAGING) if is_local(root) else None
    return cast(BinaryIO, tempfile.TemporaryFile(dir=folder))


def open_log(path: str) -> TextIO:
    """Opens a local text file to which lines are appended; what UTF-8 lacks is escaped."""
    return open(path, "a", encoding="utf-8", errors="backslashreplace")


def overwrite(url: str, data: bytes) -> None:
    """Writes a small file whose folder is there; a reader finds the old one or the new one.

    Unlike what is published it need not outlive a power cut.

    Raises:
        OSError: It cannot be written, or its folder is gone.
    """
    if not is_local(url):
        remote.upload(url, lambda handle: handle.write(data))
        return
    staged = f"{url}.{os.getpid()}"
    with open(staged, "wb") as handle:
        handle.write(data)
    os.replace(staged, url)
