"""Resume: records that lie in a committed part are not computed again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import apache_beam as beam
import numpy as np

from transforms import events
from transforms.arrays import Digests, Integers
from transforms.items import Batch, DeadLetter, EndOfFile, Item, Protein, Settled
from transforms.output.commits import (
    Commits,
    Output,
    PartRecord,
    has_part_record,
    read_all_parts,
    replaced_by,
)
from transforms.output.committed import read_keys, short_digest
from transforms.output.shards import Shard
from transforms.passing import ActOnKinds, act_on_kinds

Record = Protein | DeadLetter

MOST_OPEN = 16
"""Files whose keys a process holds at a time."""


class CommittedRecords:
    """Answers, file by file, in which part of an earlier run a record lies.

    The keys of a file are read when its first record comes and let go at its end, so memory
    holds the files that are open and never the whole output.
    """

    def __init__(self, root: str, commits: Commits, run: str, shard: Shard | None = None) -> None:
        self._root = root
        self._run = run
        self._shard = shard
        self._parts_of = self._find_parts(commits)
        self._open: dict[str, tuple[str, _OpenFile]] = {}  # by source: the version, and its keys

    def find(self, record: Record) -> Settled | None:
        """Returns what settles the record, or None if it is new.

        A committed record is the same if its file's version, its ordinal and its sequence after
        the policy are; the output's configuration vouches for the rest.
        """
        if record.source not in self._parts_of:
            return None
        # Other threads open and close files too.
        version, held = self._open.get(record.source, ("", None))
        if held is None or version != record.file_sha256:
            held = self._read_file(record.source, record.file_sha256)
            if len(self._open) >= MOST_OPEN:  # of a range of a file the end is seen elsewhere
                for oldest in list(self._open)[:1]:
                    self.close(oldest)
            self._open[record.source] = record.file_sha256, held
        return held.find(record.ordinal, record.sequence_sha256)

    def _find_parts(self, commits: Commits) -> dict[str, list[PartRecord]]:
        if shard := self._shard:
            parts = {n: part for n, part in commits.parts.items() if shard.may_find(part.run)}
            commits = Commits(parts, commits.files)
        return commits.by_source(but_not_of_run=self._run)

    def close(self, source: str) -> None:
        """Lets go of a file's keys."""
        self._open.pop(source, None)

    def _read_file(self, source: str, version: str) -> _OpenFile:
        try:
            return _OpenFile(self._read(source, version))
        except FileNotFoundError:  # a compaction may have merged them since
            self._parts_of = self._find_parts(_read_parts(self._root))
            return _OpenFile(self._read(source, version))

    def _read(self, source: str, version: str) -> Iterator[tuple[Settled, Integers, Digests]]:
        """Yields what settles some records, their ordinals and their sequences' digests."""
        for part in self._current_parts(source):
            if part.sources[source].sha256 != version:
                continue
            keys = read_keys(self._root, part, source)
            row = Settled(source, version, part.part, 1, 0)
            yield row, keys.ordinals, keys.digests
            dead = dict(keys.dead_letters)
            if None in dead:  # a dead letter of the whole file settles no record
                yield replace(row, rows=0), *_as_arrays({None: dead.pop(None)})
            yield replace(row, rows=0, dead_letters=1), *_as_arrays(dead)

    def _current_parts(self, source: str) -> Sequence[PartRecord]:
        """Returns the parts that hold anything of a file; in a long run some may be replaced."""
        held = self._parts_of.get(source, ())
        if not all(has_part_record(self._root, part.part) for part in held):
            self._parts_of = self._find_parts(_read_parts(self._root))
        return self._parts_of.get(source, ())


def _as_arrays(records: Mapping[int | None, str]) -> tuple[Integers, Digests]:
    ordinals = np.array([_to_number(ordinal) for ordinal in records], np.int64)
    return ordinals, np.array(list(map(short_digest, records.values())), np.uint64)


class _OpenFile:
    """The committed records of one file, in arrays: 20 bytes each, where a dict takes 300.

    Args:
        held: What settles some records, their ordinals and their sequences' digests.
    """

    def __init__(self, held: Iterable[tuple[Settled, Integers, Digests]]) -> None:
        self._settled: list[Settled] = []
        ordinals, digests, which = [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)], [0]
        for settled, numbers, shorts in held:
            self._settled.append(settled)
            ordinals.append(numbers)
            digests.append(shorts)
            which.append(len(numbers))
        self._ordinals = np.concatenate(ordinals)
        del ordinals  # of a large file, each is large
        self._digests = np.concatenate(digests)
        del digests
        self._which = np.repeat(np.arange(-1, len(self._settled), dtype=np.int32), which)
        if np.any(self._ordinals[1:] < self._ordinals[:-1]):
            order = np.argsort(self._ordinals, kind="stable")
            self._ordinals = self._ordinals[order]
            self._digests = self._digests[order]
            self._which = self._which[order]

    def find(self, ordinal: int | None, digest: str) -> Settled | None:
        """Returns what settles a record, or None if it is not among them."""
        number = _to_number(ordinal)
        at = int(np.searchsorted(self._ordinals, number))
        if at == len(self._ordinals) or self._ordinals[at] != number:
            return None
        is_same = int(self._digests[at]) == short_digest(digest)
        return self._settled[self._which[at]] if is_same else None


def _to_number(ordinal: int | None) -> int:
    return -1 if ordinal is None else ordinal


def _read_parts(root: str) -> Commits:
    """Returns the parts that count, without the finished files, which may be a million."""
    parts = read_all_parts(root)
    replaced = replaced_by(parts)
    return Commits({name: part for name, part in parts.items() if name not in replaced}, {})


@lru_cache(maxsize=1)
def _committed_records(root: str, run: str, shard: Shard | None) -> CommittedRecords:
    """Reads the index once per process and run.

    The run's own parts are left out: a bundle that is tried again replaces them.
    """
    return CommittedRecords(root, _read_parts(root), run, shard)


class _SkipCommittedDoFn(ActOnKinds):
    kinds = (Protein, DeadLetter, EndOfFile)

    def __init__(self, output: Output, is_begun: bool = True) -> None:
        self._output = output
        self._is_begun = is_begun

    def setup(self) -> None:
        root, run = self._output.root, self._output.run
        if self._is_begun:
            self._committed = _committed_records(root, run, self._output.shard)
        else:
            self._committed = CommittedRecords(root, Commits({}, {}), run)

    def process(self, element: Item) -> Iterable[Item]:
        self._records = self._residues = 0
        become = [_merge(item) for item in super().process(element)]
        if self._records:  # one event for what comes together: a resumed run skips millions
            events.emit(events.RecordsSkipped(self._records, self._residues))
        return become

    def act(self, item: Record | EndOfFile) -> Iterable[Item]:  # type: ignore[override]
        if isinstance(item, EndOfFile):
            self._committed.close(item.source)
            return (item,)
        settled = self._committed.find(item)
        if item.ordinal is None:  # there is no end of a file that failed
            self._committed.close(item.source)
        if settled is None:
            return (item,)
        if isinstance(item, Protein):
            self._records += 1
            self._residues += len(item.sequence)
        return (settled,)


def _merge(item: Item) -> Item:
    """Settles the records of a batch together: else millions would be counted one by one."""
    if not isinstance(item, Batch):
        return item
    counts: dict[tuple[str, str, str], list[int]] = {}
    others: list[Item] = []
    for each in item.items:
        if isinstance(each, Settled):
            count = counts.setdefault((each.source, each.file_sha256, each.part), [0, 0])
            count[0] += each.rows
            count[1] += each.dead_letters
        else:
            others.append(each)
    return Batch((*(Settled(*key, *count) for key, count in counts.items()), *others))


@dataclass
class SkipCommitted(beam.PTransform):  # type: ignore[misc]
    """Replaces each record that an earlier run has committed by what settles it.

    Attributes:
        output: Where to look.
        is_begun: Whether an earlier run may have committed records of the files that come; if not,
            nothing is looked up.
    """

    output: Output
    is_begun: bool = True

    def expand(self, items: beam.PCollection[Item]) -> beam.PCollection[Item]:
        """Applies the step."""
        return items | act_on_kinds(_SkipCommittedDoFn(self.output, self.is_begun))
