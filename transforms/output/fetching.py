"""Many small files, several at a time where each costs a round trip over a network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from transforms import storage

Content = TypeVar("Content")

AT_ONCE = 32


def fetch_all(
    root: str, names: Iterable[str], read: Callable[[str], Content]
) -> Iterator[tuple[str, Content]]:
    """Yields names with what is read of each, in order.

    Args:
        root: Where the files lie; on an object store they are read side by side.
        names: The files.
        read: Returns what is in one.

    Raises:
        Exception: What ``read`` raised.
    """
    if storage.is_local(root):
        yield from ((name, read(name)) for name in names)
        return
    wanted = list(names)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from zip(wanted, pool.map(read, wanted), strict=True)
