"""Merging the small parts of an output, one group after the other, also beside a run."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from pipeline.merge_plan import (
    AtWork,
    count_records,
    find_at_work,
    find_groups,
    size_of,
)
from pipeline.recorded import read_bound
from transforms import storage
from transforms.errors import ConfigurationError
from transforms.output.commits import (
    DEAD_LETTERS,
    EMBEDDINGS,
    Commits,
    PartRecord,
    has_part_record,
    read_commits,
    read_part_record,
)
from transforms.output.division import check_undivided, read_division
from transforms.output.holders import COMPACT
from transforms.output.locks import HeldError, hold, hold_parts
from transforms.output.merging import merge_parts
from transforms.output.reopened import read_reopened
from transforms.output.sweeping import MERGED, sweep_merges
from transforms.text import counted, printable

SECONDS_BETWEEN = 0.25
"""Time between two merges in which a run that begins or ends can have the parts."""

logger = logging.getLogger(__name__)


@dataclass
class Compaction:
    """What came of a compaction.

    Attributes:
        root: The output.
        before: How many parts were merged.
        after: How many they became.
        records: Rows and dead letters in them.
        bytes_before: Bytes of their data files.
        bytes_after: Bytes of those that they became.
        parts: How many parts the output had.
        spared: How many of them are of files that are not finished, or of the run at work.
        changed: How many were to be merged, but a run has changed them, or needs them by now.
    """

    root: str
    before: int = 0
    after: int = 0
    records: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    parts: int = 0
    spared: int = 0
    changed: int = 0

    def in_words(self) -> list[str]:
        """Returns the lines that a person reads."""
        root = printable(self.root)
        if self.before:
            saved = f"{_megabytes(self.bytes_after)} (before: {_megabytes(self.bytes_before)})"
            lines = [
                f"{root}: {counted(self.before, 'part')} became {self.after:,}, with "
                f"{counted(self.records, 'record')}, {saved}."
            ]
        else:
            lines = [f"{root}: nothing to merge in {counted(self.parts, 'part') or 'no part'}."]
        if self.spared:
            lines.append(
                f"{counted(self.spared, 'part')} left alone, for the run at work may need them."
            )
        if self.changed:
            lines.append(
                f"{counted(self.changed, 'part')} left, for a run came in between. "
                "The same command merges them."
            )
        return lines


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def compact_output(
    output: str, rows: int, sleep: Callable[[float], object] = time.sleep
) -> Compaction:
    """Merges the small parts of an output.

    Raises:
        ConfigurationError: There is no output, another compaction is at work, or a part is damaged.
        LostError: Another machine has taken over, for this one was suspended.
        OSError: A file cannot be read or written. What was merged until then stays.
    """
    root = storage.absolute(output)
    read_bound(root)
    name = uuid.uuid4().hex[:12]
    try:
        with hold(root, name, COMPACT):
            return _Compactor(root, name, rows).run(sleep)
    except HeldError as error:
        raise ConfigurationError(
            f"Another compaction is at work in {root} ({error}). Wait for its end."
        ) from error


@dataclass
class _Compactor:
    root: str
    name: str
    rows: int
    number: int = 0
    sizes: dict[str, int] = field(default_factory=dict)
    at_work: AtWork = AtWork()
    finished: Collection[str] = ()

    def run(self, sleep: Callable[[float], object]) -> Compaction:
        with hold_parts(self.root, self.name):
            check_undivided(self.root)
            sweep_merges(self.root)
            committed = read_commits(self.root)
            self.at_work = find_at_work(self.root, committed.parts.values())
            self.finished = committed.files.keys() - self._taken_back()
        self.sizes = _sizes(self.root)
        small = [p for p in committed.parts.values() if count_records(p) < self.rows]
        free = [part for part in small if self.at_work.spares(part, self.finished)]
        groups = find_groups(free, self.sizes, self.at_work, self.rows)
        done = Compaction(self.root, parts=len(committed.parts), spared=len(small) - len(free))
        for position, group in enumerate(groups):
            if position:
                sleep(SECONDS_BETWEEN)
            with hold_parts(self.root, self.name):
                self._merge(group, done)
            logger.info("Merges done: %d of %d.", position + 1, len(groups))
        return done

    def _taken_back(self) -> frozenset[str]:
        """Returns the files that were finished, and that a run embeds anew."""
        return read_reopened(self.root, Commits({}, {}))

    def _merge(self, group: list[PartRecord], done: Compaction) -> None:
        """Merges the parts of a group; those that differ in their footers into several."""
        if not self._is_as_it_was(group):
            done.changed += len(group)
            return
        left = group
        while len(left) > 1:
            new = f"{MERGED}{self.name}-{self.number}"
            # A run counts its rows by its parts.
            is_its_own = self.at_work.is_of_it(left[0])
            run = self.at_work.run if is_its_own else f"merged-{self.name}"
            merged = merge_parts(self.root, self.name, new, run, left)
            names = {part.part for part in merged} or {left[0].part}
            left = [part for part in left if part.part not in names]
            if merged:
                self.number += 1
                self._count(merged, read_part_record(self.root, new), done)

    def _is_as_it_was(self, group: list[PartRecord]) -> bool:
        """Tells whether a group that was found a while ago can be merged still.

        Looks at nothing but the group, for there may be many.
        """
        if not all(has_part_record(self.root, part.part) for part in group):
            return False
        if read_division(self.root):
            return False
        now = find_at_work(self.root)
        if not now.run:
            return True
        if now.run == self.at_work.run:
            now = self.at_work  # its rounds that had ended then have ended
        taken_back = self._taken_back()
        return all(
            now.spares(part, self.finished) and taken_back.isdisjoint(part.sources)
            for part in group
        )

    def _count(self, merged: list[PartRecord], new: PartRecord, done: Compaction) -> None:
        done.before += len(merged)
        done.after += 1
        done.records += count_records(new)
        done.bytes_before += sum(size_of(part, self.sizes) for part in merged)
        for folder, name in ((EMBEDDINGS, new.embeddings), (DEAD_LETTERS, new.dead_letters)):
            found = storage.look_up(storage.join(self.root, folder, name)) if name else None
            done.bytes_after += found.size if found else 0


def _sizes(root: str) -> dict[str, int]:
    """Returns the bytes of all data files, by name."""
    return {
        found.url.rpartition("/")[2]: found.size
        for folder in (EMBEDDINGS, DEAD_LETTERS)
        for found in storage.match(storage.join(root, folder) + "/")
    }
