"""Files that were taken back and are to be finished again, so that a kill does not forget them.

What is taken out of an output leaves no trace in its parts, and a retry without inputs goes by
what the output says. ``commits/reopened.json`` names these files from before the first of their
records goes until they are finished, or failed, again.
"""

from __future__ import annotations

from collections.abc import Collection

from transforms import storage
from transforms.output.commits import COMMITS, Commits
from transforms.output.json_records import read_json, write_json

REOPENED = f"{COMMITS}/reopened.json"


def read_reopened(root: str, committed: Commits) -> frozenset[str]:
    """Returns the files that were reopened and have no outcome yet.

    Raises:
        ConfigurationError: The list of them is damaged.
    """
    return _read(root) - committed.files.keys() - committed.failed_sources()


def note_reopened(root: str, sources: Collection[str]) -> None:
    """Adds files to those that are to be finished; before anything of them is taken out."""
    if not (noted := _read(root)).issuperset(sources):
        _write(root, noted.union(sources))


def settle_reopened(root: str, committed: Commits) -> None:
    """Drops the files that have an outcome by now."""
    if (left := read_reopened(root, committed)) != _read(root):
        _write(root, left)


def forget_reopened(root: str) -> None:
    """Drops all of them."""
    storage.delete(_url(root))


def _url(root: str) -> str:
    return storage.join(root, REOPENED)


def _read(root: str) -> frozenset[str]:
    if not storage.exists(url := _url(root)):
        return frozenset()
    return read_json(url, lambda content: frozenset(content["sources"]))


def _write(root: str, sources: Collection[str]) -> None:
    if not sources:
        forget_reopened(root)
        return
    write_json(root, REOPENED, {"sources": sorted(sources)})
