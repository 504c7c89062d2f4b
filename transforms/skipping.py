"""Resume: records that lie in a committed part are not computed again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import apache_beam as beam

from transforms import events
from transforms.commits import Commits, Output, read_commits
from transforms.committed import read_keys
from transforms.items import DeadLetter, EndOfFile, Item, Protein, Settled
from transforms.passing import ActOnKinds, act_on_kinds

Record = Protein | DeadLetter


class CommittedRecords:
    """Answers, file by file, in which part of an earlier run a record lies.

    The keys of a file are read when its first record comes and let go at its end, so memory
    holds the files that are open and never the whole output.
    """

    def __init__(self, root: str, commits: Commits, run: str) -> None:
        self._root = root
        self._commits = commits
        self._run = run
        self._open: dict[str, dict[int | None, tuple[str, Settled]]] = {}

    def find(self, record: Record) -> Settled | None:
        """Returns what settles the record, or None if it is new.

        A committed record is the same if its file's version, its ordinal and its sequence after
        the policy are; the output's configuration vouches for the rest.
        """
        if record.source not in self._open:
            self._open[record.source] = dict(self._read(record.source, record.file_sha256))
        digest, settled = self._open[record.source].get(record.ordinal, (None, None))
        return settled if digest == record.sequence_sha256 else None

    def close(self, source: str) -> None:
        """Lets go of a file's keys."""
        self._open.pop(source, None)

    def _read(self, source: str, version: str) -> Iterator[tuple[int | None, tuple[str, Settled]]]:
        for part in self._commits.parts_of(source, but_not_of_run=self._run):
            if part.sources[source].sha256 != version:
                continue
            keys = read_keys(self._root, part, source)
            row = Settled(source, version, part.part, 1, 0)
            for ordinal, digest in keys.rows.items():
                yield ordinal, (digest, row)
            for dead, digest in keys.dead_letters.items():
                # A dead letter of the whole file settles no record.
                yield dead, (digest, replace(row, rows=0, dead_letters=int(dead is not None)))


@lru_cache(maxsize=1)
def _committed_records(root: str, run: str) -> CommittedRecords:
    """Reads the index once per process and run.

    The run's own parts are left out: a bundle that is tried again replaces them.
    """
    return CommittedRecords(root, read_commits(root), run)


class _SkipCommittedDoFn(ActOnKinds):
    kinds = (Protein, DeadLetter, EndOfFile)

    def __init__(self, output: Output) -> None:
        self._output = output

    def setup(self) -> None:
        self._committed = _committed_records(self._output.root, self._output.run)

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
            events.emit(events.RecordsSkipped(1, len(item.sequence)))
        return (settled,)


@dataclass
class SkipCommitted(beam.PTransform):  # type: ignore[misc]
    """Replaces each record that an earlier run has committed by what settles it.

    Attributes:
        output: Where to look.
    """

    output: Output

    def expand(self, items: beam.PCollection[Item]) -> beam.PCollection[Item]:
        """Applies the step."""
        return items | act_on_kinds(_SkipCommittedDoFn(self.output))
