"""``_ESM.pt`` files that grow while their FASTA files are under way, with each part.

Without, all of a large one would be read back from its parts and written at its end, when a device
has nothing else to do. That is still done where a file does not grow: because its records come from
several lanes, the disk is full, or it is to be sorted by length.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from contextlib import suppress
from typing import BinaryIO

import numpy as np

from transforms import storage
from transforms.items import FinishedFile, Settled
from transforms.naming import pt_name
from transforms.output.commits import Output, read_part_record
from transforms.output.committed import Rows, read_rows
from transforms.output.gathering import Gathered
from transforms.output.pt_format import PtWriter

MOST_FILES = 2
"""In one lane parts come file by file, and one would do."""


class GrowingFile:
    """A ``.pt`` that grows where files are staged.

    Args:
        root: The output root, which is local.
        source: The FASTA file.
    """

    def __init__(self, root: str, source: str) -> None:
        self._handle = storage.stage(root, pt_name(source))
        self._writer = PtWriter(self._handle)
        self._written: list[str] = []
        self._ordinals = array("q")

    def add(self, name: str, rows: Rows) -> bool:
        """Writes rows of a file in ``embeddings/``; returns whether they follow those before."""
        if self._ordinals and rows.ordinals[0] <= self._ordinals[-1]:
            return False
        self._writer.add(rows.vectors)
        self._written.append(name)
        self._ordinals.extend(rows.ordinals)
        return True

    def holds(self, content: Gathered) -> bool:
        """Tells whether it has all vectors of its file, and from where that has them."""
        parts = (part for part in content.parts if part.sources[content.source].rows)
        written = {part.embeddings for part in parts}
        ordinals = np.frombuffer(self._ordinals, np.int64)
        return written == set(self._written) and np.array_equal(ordinals, content.ordinals)

    def publish(self, ids: Sequence[str], handle: BinaryIO) -> str:
        """Ends it and puts it in place of a file that is being published; returns its SHA-256."""
        digest = self._writer.close(ids)
        self._handle.close()
        storage.move(self._handle.name, handle.name)
        return digest

    def close(self) -> None:
        """Takes it away, unless it was published."""
        with suppress(OSError):  # what is held cannot be written where the disk is full
            self._handle.close()
        storage.delete(self._handle.name)


class GrowingFiles:
    """The files that grow: such as lie in several parts.

    Args:
        output: Where the parts are.
    """

    def __init__(self, output: Output) -> None:
        self._root = output.root
        self._is_wanted = output.pt and output.pt_order == "input" and storage.is_local(output.root)
        # What the last part, and the one before, hold of files, until it is written to theirs.
        self._part = ""
        self._last: dict[str, Settled] = {}
        self._before: dict[str, Settled] = {}
        self._files: dict[tuple[str, str], GrowingFile | None] = {}  # None for one given up

    def see(self, item: Settled | FinishedFile) -> None:
        """Takes note of an item; a file begins to grow when it is seen in a second part."""
        if isinstance(item, FinishedFile):
            source = item.end.source
            before = self._before.pop(source, None)
            last = self._last.pop(source, before)
            if last and (source, item.end.file_sha256) in self._files:
                self._grow(last)
        elif item.rows and self._is_wanted:
            if item.part != self._part:
                self._part, self._before, self._last = item.part, self._last, {}
            self._last[item.source] = item
            if before := self._before.pop(item.source, None):
                self._grow(before)

    def take(self, finished: FinishedFile) -> GrowingFile | None:
        """Returns what has grown of a file that is finished, to be closed; None for nothing."""
        return self._files.pop((finished.end.source, finished.end.file_sha256), None)

    def close(self) -> None:
        """Lets go of all of them."""
        for file in filter(None, self._files.values()):
            file.close()
        self._files, self._before, self._last = {}, {}, {}

    def _grow(self, settled: Settled) -> None:
        key = settled.source, settled.file_sha256
        if key in self._files and not self._files[key]:
            return
        try:
            file = self._files.get(key) or self._begin(key)
            part = read_part_record(self._root, settled.part)
            rows = read_rows(self._root, part, settled.source)
            follows = bool(rows and part.embeddings and file.add(part.embeddings, rows))
        except OSError:  # the part was merged with others, or the disk is full
            follows = False
        if not follows:
            self._give_up(key)

    def _begin(self, key: tuple[str, str]) -> GrowingFile:
        while len(self._files) >= MOST_FILES:
            if oldest := self._files.pop(next(iter(self._files))):
                oldest.close()
        self._files[key] = file = GrowingFile(self._root, key[0])
        return file

    def _give_up(self, key: tuple[str, str]) -> None:
        if file := self._files.get(key):
            file.close()
        self._files[key] = None
