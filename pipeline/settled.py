"""Reading an output while a run or a compaction replaces what is read."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from transforms.output.commits import Commits, read_commits

LOOKS, SECONDS_BETWEEN_LOOKS = 10, 0.05
"""How often an output is looked at, if files are taken away while they are being read."""

Seen = TypeVar("Seen")


def read_settled(
    root: str,
    read: Callable[[Commits], Seen],
    committed: Commits | None = None,
    sleep: Callable[[float], object] = time.sleep,
) -> Seen:
    """Reads something of an output of which parts may be replaced, and deleted, meanwhile.

    Args:
        root: The output root.
        read: Reads it, by what is committed; called again with newer records where a file is gone.
        committed: What is committed, where that is known.
        sleep: Waits for some seconds; replaced by tests.

    Raises:
        FileNotFoundError: A file stays gone.
    """
    for _ in range(LOOKS - 1):
        try:
            return read(committed or read_commits(root))
        except FileNotFoundError:
            committed = None
            sleep(SECONDS_BETWEEN_LOOKS)
    return read(read_commits(root))
