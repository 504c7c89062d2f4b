"""What has come to a folder that is watched: which files are complete, and which are due.

A file is complete when two looks in a row find it with the same size and time. It is done when it
has an outcome as it is now; when its size or time changes, it is a new version and due again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import filterfalse

from transforms.inputs.arriving import Sight, Version, version_of
from transforms.inputs.finding import FastaFile
from transforms.naming import stem

ROUND_BYTES = 1 << 24
"""Bytes of the files of one round, if they are more than one: a small file is finished with the
round at the latest, and must not wait until a large one is read."""


@dataclass(frozen=True)
class Taken:
    """The files of one round.

    Attributes:
        files: Those to be embedded, the smallest first.
        refused: Those that would take the name of another one in the output, each with that one.
        are_carried: Whether they are what an earlier round has left.
        begun: Those that were at work before, as they are now.
    """

    files: tuple[FastaFile, ...]
    refused: tuple[tuple[FastaFile, str], ...] = ()
    are_carried: bool = False
    begun: frozenset[str] = frozenset()


class Arrivals:
    """Remembers what was done and what is growing, and says whose turn it is.

    Of a file that is done stay its name, size and time. Not for several threads at once.

    Args:
        known: Every file of which the output holds anything, with the version that is done; None
            where it is to be looked at again. One that failed and holds no name in the output
            comes last.
        holders: Those of them that hold their name in the output.
    """

    def __init__(self, known: Mapping[str, Version | None], holders: Iterable[str]) -> None:
        self._done = dict(known)
        self._names = {stem(source): source for source in holders}
        self._refused = {source for source in known if self._holder(source) != source}
        self._sight = Sight()
        self._growing: dict[str, FastaFile] = {}
        self._waiting: dict[str, FastaFile] = {}
        self._carried: dict[str, Version] = {}
        self._begun: set[str] = set()
        self._slow: set[str] = set()
        self._at_work: dict[str, Version] = {}
        self._is_turn_of_carried = False

    def look(self, files: Iterable[FastaFile]) -> None:
        """Takes note of a look: all files that there are."""
        self._sight.look(filterfalse(self._is_done, files))
        growing = {
            source: file
            for source, file in self._sight.seen.items()
            if self._at_work.get(source) != version_of(file)
        }
        self._growing = growing
        self._waiting = {s: f for s, f in self._sight.complete.items() if s in growing}
        self._carried = {
            source: version
            for source, version in self._carried.items()
            if source in growing and version_of(growing[source]) == version
        }
        self._begun &= self._carried.keys()
        self._slow &= self._carried.keys()

    def _is_done(self, file: FastaFile) -> bool:
        return file.source in self._refused or self._done.get(file.source) == version_of(file)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is at work, waiting or growing."""
        return not self._growing and not self._at_work

    @property
    def is_awaited(self) -> bool:
        """Whether a complete file waits that what is at work should make room for.

        That is a new one, or one that is smaller than all that are at work.
        """
        smallest = min((version.size for version in self._at_work.values()), default=0)
        return any(
            file.size < smallest or not self._is_carried(file) for file in self._waiting.values()
        )

    def is_known(self, source: str) -> bool:
        """Tells whether the output may hold anything of a file."""
        return source in self._done

    def take(self) -> Taken | None:
        """Takes the files whose turn it is; None if none waits.

        New ones go first, but what an earlier round has left comes after each round of new ones. A
        slow one goes alone.
        """
        carried = self._carried_next()
        new = [file for file in self._waiting.values() if not self._is_carried(file)]
        if not new and not carried:
            return None
        are_carried = bool(carried) and (self._is_turn_of_carried or not new)
        self._is_turn_of_carried = bool(carried) and not are_carried
        files: list[FastaFile] = []
        refused: list[tuple[FastaFile, str]] = []
        for file in self._cut(carried if are_carried else new):
            del self._waiting[file.source]
            self._growing.pop(file.source, None)
            holder = self._names.setdefault(stem(file.source), file.source)
            if holder == file.source:
                self._at_work[file.source] = version_of(file)
                files.append(file)
            else:
                self.refuse(file.source)
                refused.append((file, holder))
        files.sort(key=_size)
        begun = frozenset(self._begun.intersection(file.source for file in files))
        return Taken(tuple(files), tuple(refused), are_carried, begun)

    def refuse(self, source: str) -> None:
        """Takes a file for one that cannot be embedded, whatever becomes of it."""
        self._at_work.pop(source, None)
        self._refused.add(source)

    def finish(self, file: FastaFile, has_failed: bool = False) -> None:
        """Takes note that a file that was taken has an outcome."""
        self._at_work.pop(file.source, None)
        self._done[file.source] = version_of(file)
        if has_failed and self._names.get(stem(file.source)) == file.source:
            del self._names[stem(file.source)]  # of what failed there is nothing that needs it

    def carry(self, file: FastaFile, is_slow: bool) -> None:
        """Takes note that a file that was taken is unfinished.

        Args:
            file: The file.
            is_slow: Whether it is the one that was being read when the round was stopped.
        """
        self._at_work.pop(file.source, None)
        self._done[file.source] = None
        if file.source not in self._growing:  # else it has changed
            self._growing[file.source] = self._waiting[file.source] = file
            self._carried[file.source] = version_of(file)
            self._begun.add(file.source)
            if is_slow:
                self._slow.add(file.source)

    def _carried_next(self) -> list[FastaFile]:
        carried = [file for file in self._waiting.values() if self._is_carried(file)]
        quick = [file for file in carried if file.source not in self._slow]
        return quick or sorted(carried, key=_size)[:1]

    def _cut(self, files: list[FastaFile]) -> list[FastaFile]:
        """Returns the smallest files, as many as a round takes; the others are left."""
        total = 0
        fit: set[str] = set()
        for file in sorted(files, key=_size):
            total += file.size
            if total <= ROUND_BYTES or not fit:
                fit.add(file.source)
            else:
                self._carried[file.source] = version_of(file)
        return [file for file in files if file.source in fit]

    def _holder(self, source: str) -> str:
        return self._names.get(stem(source), source)

    def _is_carried(self, file: FastaFile) -> bool:
        return self._carried.get(file.source) == version_of(file)


def _size(file: FastaFile) -> int:
    return file.size
