"""What makes local files survive a power cut; for :mod:`transforms.storage`."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

_SYNCS_AT_ONCE = 8
_FEW = 4


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
