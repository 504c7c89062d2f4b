"""What an output says has become of files, kept up to date while it is written."""

from __future__ import annotations

from collections.abc import Iterable

from transforms import storage
from transforms.inputs.arriving import Version
from transforms.naming import stem
from transforms.output.commits import (
    COMMITS,
    FileRecord,
    PartSource,
    read_commits,
    read_file_records,
    read_part_record,
)
from transforms.output.resuming import find_done


class Outcomes:
    """Remembers the outcome of each file, in some hundred bytes; each commit record is read once.

    Of a file that is finished and lost its ``.pt`` before this began, it is not known. Not for
    several threads at once.

    Args:
        root: The output root.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._read = set(self._names())
        committed = read_commits(root)
        done, holders = find_done(root, committed)
        self._finished = {
            source: Version(record.size, record.mtime) for source, record in done.items() if record
        }
        self._failed = committed.failed_sources()
        self._known = set(done)
        self._holders = {stem(source): source for source in holders}

    def refresh(self) -> None:
        """Reads what has been committed since."""
        for name in self._names():
            if name in self._read:
                continue
            try:
                if name.startswith("part-"):
                    part = read_part_record(self._root, name.removesuffix(".json"))
                    for source, held in part.sources.items():
                        self._note_part(source, held)
                elif name.startswith("files-"):
                    for record in read_file_records(self._root, name):
                        self._note_file(record)
            except FileNotFoundError:  # taken back since it was listed
                continue
            self._read.add(name)

    def finished(self, source: str) -> Version | None:
        """Returns the version of a file that is finished; None if none is."""
        return self._finished.get(source)

    def has_failed(self, source: str) -> bool:
        """Tells whether there is a dead letter of a whole file, and no later success."""
        return source in self._failed

    def is_known(self, source: str) -> bool:
        """Tells whether the output may hold anything of a file."""
        return source in self._known

    def holder(self, source: str) -> str:
        """Returns the file that holds the name that a file would get in the output."""
        return self._holders.get(stem(source), source)

    def forget(self, sources: Iterable[str]) -> None:
        """Takes note that what the output held of files was taken out."""
        for source in sources:
            self._finished.pop(source, None)
            self._failed.discard(source)
            if self.holder(source) == source:
                self._holders.pop(stem(source), None)

    def _names(self) -> list[str]:
        return storage.list_names(storage.join(self._root, COMMITS))

    def _note_part(self, source: str, held: PartSource) -> None:
        self._known.add(source)
        if held.rows or held.dead_letters:
            self._holders[stem(source)] = source
        if held.failed and source not in self._finished:
            self._failed.add(source)

    def _note_file(self, record: FileRecord) -> None:
        self._known.add(record.source)
        self._failed.discard(record.source)
        self._holders[stem(record.source)] = record.source
        self._finished[record.source] = Version(record.size, record.mtime)
