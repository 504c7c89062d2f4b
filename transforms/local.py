"""Files of the local file system, for :mod:`transforms.storage`.

What is published appears whole or not at all, and survives a power cut: it is staged, synced and
renamed, and then the folders in which it lies are synced.
"""

from __future__ import annotations

import ctypes
import errno
import glob
import os
import re
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

_SYNCS_AT_ONCE = 8
_FEW = 4


def list_paths(pattern: str) -> list[str]:
    """Returns what a path, a glob or a folder stands for, sorted; see ``storage.match``."""
    if os.path.isdir(pattern):
        walk = os.walk(pattern, onerror=_fail)
        return sorted(os.path.join(top, name) for top, _, names in walk for name in names)
    return [pattern] if os.path.exists(pattern) else sorted(set(_glob(pattern)))


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


def delete(path: str) -> None:
    """Removes a file, or a folder with all that is in it; nothing where there is nothing."""
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)


def publish_all(root: str, staging: str, files: Mapping[str, Callable[[BinaryIO], object]]) -> None:
    """Writes files so that each of them appears whole or not at all; see ``storage.publish_all``.

    Args:
        root: The folder below which they lie, which is there.
        staging: Name of the folder below it in which they are staged.
        files: What writes the content, for each path below the root.
    """
    staging = make_staging(root, staging)
    staged = [staged_path(staging, name) for name in files]
    targets = [os.path.join(root, name) for name in files]
    folders = list(dict.fromkeys(map(os.path.dirname, targets)))
    try:
        for path, write in zip(staged, files.values(), strict=True):
            _write(path, write)
        sync_all(staged)
        for folder in folders:
            os.makedirs(folder, exist_ok=True)
        for path, target in zip(staged, targets, strict=True):
            os.replace(path, target)
    except BaseException:
        for path in staged:
            if os.path.exists(path):
                os.remove(path)
        raise
    sync_all(folders)  # without it a rename need not survive a power cut


def make_staging(root: str, staging: str) -> str:
    """Makes the folder in which files are staged, unless it is there, and returns it."""
    folder = os.path.join(root, staging)
    try:
        os.mkdir(folder)
    except FileExistsError:
        pass
    except FileNotFoundError as error:
        # Not made anew: an output that vanishes under a run must not come back half empty.
        raise FileNotFoundError(errno.ENOENT, "The output folder is gone", root) from error
    return folder


def staged_path(folder: str, name: str) -> str:
    """Returns where a file is staged: its name tells whose it is, should a kill leave it."""
    return os.path.join(folder, f"{name.rpartition('/')[2][:48]}.{uuid.uuid4().hex}")


def _write(path: str, write: Callable[[BinaryIO], object]) -> None:
    with open(path, "wb") as handle:
        write(handle)


def overwrite(path: str, data: bytes) -> None:
    """Writes a small file whose folder is there; a reader finds the old one or the new one."""
    staged = f"{path}.{os.getpid()}"
    try:
        with open(staged, "wb") as handle:
            handle.write(data)
        os.replace(staged, path)
    except BaseException:
        delete(staged)
        raise


def sync_all(paths: Sequence[str]) -> None:
    """Makes the content of files, and the names in folders, of one file system survive.

    Many are synced at one time with all else on their file system, which takes a fifth of what
    one after the other does.

    Args:
        paths: Local files and folders.

    Raises:
        OSError: It is not known that they survive.
    """
    if len(paths) > _FEW and _knows_syncfs():
        _sync_file_system(paths[0])
    elif len(paths) > 1:
        with ThreadPoolExecutor(min(len(paths), _SYNCS_AT_ONCE)) as pool:
            list(pool.map(_sync, paths))
    elif paths:
        _sync(paths[0])


def _knows_syncfs() -> bool:
    """Tells whether the kernel has a ``syncfs`` that reports errors: Linux 5.8 or later."""
    version = re.match(r"(\d+)\.(\d+)", os.uname().release)
    if sys.platform != "linux" or version is None:
        return False
    return (int(version[1]), int(version[2])) >= (5, 8)


def _sync_file_system(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(descriptor)


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
