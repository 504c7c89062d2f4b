"""What an output holds and who is at work in it, read without disturbing anybody.

Memory holds the commit records, which are small, and the dead letters of one part. Nothing here
needs the model's libraries, which take seconds to load.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipeline.failures import Failures, count_failures, iterate_dead_letters
from pipeline.file_states import FileState, find_states
from pipeline.outputs import read_run_report
from pipeline.recorded import no_output, not_readable
from pipeline.remarks import read_seeming_nucleotides
from pipeline.settled import read_settled
from transforms import storage
from transforms.output.commits import PT, Commits, read_commits
from transforms.output.configuration import read_configuration
from transforms.output.division import Division, ShardState, look_at_shards, read_division
from transforms.output.holders import PARTS, RUN, Holder, State, read_holders, state_of
from transforms.output.reopened import read_reopened


@dataclass(frozen=True, slots=True)
class Overview:
    """An output at one moment.

    Attributes:
        root: The output root.
        configuration: What its rows are computed with; empty before the first run gets to work.
        holders: The runs that hold its locks, or held them last, and a compaction that does.
        states: What is known of each of these, in the same order.
        parts: How many parts are committed.
        files: The files of which something is committed, sorted by source.
        lost_pt: Those of them whose ``.pt`` is gone.
        failures: Its dead letters by kind, the most frequent first.
        gone: Committed files that are not there.
        shards: What is known of each shard that makes it; none if it is not made by shards.
        run_report: What the last run that has ended says of itself; empty where none does.
    """

    root: str
    configuration: Mapping[str, Any]
    holders: tuple[Holder, ...]
    states: tuple[State, ...]
    parts: int
    files: tuple[FileState, ...]
    lost_pt: frozenset[str]
    failures: tuple[Failures, ...]
    gone: tuple[str, ...]
    shards: tuple[ShardState, ...]
    run_report: Mapping[str, Any]

    def count(self, status: str) -> int:
        """Returns how many files have a status."""
        return sum(file.status == status for file in self.files)

    @property
    def rows(self) -> int:
        """Returns how many rows are committed."""
        return sum(file.rows for file in self.files)

    @property
    def nucleotides(self) -> tuple[str, ...]:
        """Returns the files that seemed to hold nucleotides to the last run that has ended."""
        return read_seeming_nucleotides(self.run_report, {file.source for file in self.files})


def look(output: str, sleep: Callable[[float], object] = time.sleep) -> Overview:
    """Reads what an output holds.

    A run may replace parts meanwhile. What is missing is looked for again in new records.

    Raises:
        ConfigurationError: There is no output, or it cannot be read.
    """
    root = storage.absolute(output)
    try:
        try:
            return read_settled(root, partial(_look, root), sleep=sleep)
        except FileNotFoundError:  # for good: what is gone is part of what is told
            return _look(root, read_commits(root), gone=[])
    except OSError as error:
        raise not_readable(root, error) from error


def _look(root: str, committed: Commits, gone: list[str] | None = None) -> Overview:
    """Returns what there is; ``gone`` is as in :func:`iterate_dead_letters`."""
    failures = count_failures(iterate_dead_letters(root, committed, gone))
    return make_overview(root, committed, failures, gone or ())


def make_overview(
    root: str, committed: Commits, failures: tuple[Failures, ...], gone: Sequence[str] = ()
) -> Overview:
    """Returns what an output holds, and who is at work in it.

    Raises:
        ConfigurationError: There is no output.
        OSError: It cannot be read.
    """
    configuration = read_configuration(root)
    division = read_division(root)
    holders = tuple(h for h in read_holders(root) if _is_of_interest(h, division))
    if configuration is None and not holders:
        raise no_output(root)
    files = find_states(committed, read_reopened(root, committed))
    there = {found.url for found in storage.match(storage.join(root, PT) + "/")}
    lost = {f.source for f in files if f.pt and storage.join(root, f.pt) not in there}
    return Overview(
        root=root,
        configuration=configuration or {},
        holders=holders,
        states=tuple(state_of(holder) for holder in holders),
        parts=len(committed.parts),
        files=files,
        lost_pt=frozenset(lost),
        failures=failures,
        gone=tuple(gone),
        shards=tuple(look_at_shards(root, division)) if division else (),
        run_report=read_run_report(root),
    )


def _is_of_interest(holder: Holder, division: Division | None) -> bool:
    """Tells whether a holder is a run, the last one too, or another command that has not ended.

    Of the shards of another division only those that have not let go.
    """
    if holder.lock == RUN:
        return True
    if division and holder.lock in {division.shard(n).name for n in range(division.count)}:
        return True
    return holder.lock != PARTS and not holder.released
