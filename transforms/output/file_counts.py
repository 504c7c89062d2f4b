"""What is recorded of an input file whose records are settled, or those that fall to one shard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from transforms.items import FinishedFile


@dataclass(frozen=True, slots=True)
class FileCounts:
    """An input file, and how many of its records have which outcome.

    Attributes:
        source: Path of the file below the input root.
        url: Where it was read.
        size: Its bytes.
        mtime: When it was last changed, seconds since the epoch.
        sha256: SHA-256 of its bytes.
        records: How many records are counted.
        residues: How many residues those have.
        rows: How many of them were embedded.
        dead_letters: How many were dead-lettered.
    """

    source: str
    url: str
    size: int
    mtime: float
    sha256: str
    records: int
    residues: int
    rows: int
    dead_letters: int


def counts_of(file: FinishedFile) -> dict[str, Any]:
    """Returns the fields of :class:`FileCounts` for a file whose records are settled."""
    end = file.end
    return {
        "source": end.source,
        "url": end.url,
        "size": end.size,
        "mtime": end.mtime,
        "sha256": end.file_sha256,
        "records": end.records,
        "residues": end.residues,
        "rows": file.rows,
        "dead_letters": file.dead_letters,
    }
