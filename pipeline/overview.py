"""What an output holds and who is at work in it, read without disturbing anybody.

Memory holds the commit records, which are small, and the dead letters of one part. Nothing here
needs the model's libraries, which take seconds to load.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipeline.failures import Failures, count_failures, iterate_dead_letters
from pipeline.recorded import no_output, not_readable
from pipeline.remarks import read_suspects
from pipeline.settled import read_settled
from transforms import storage
from transforms.output.commits import PT, Commits, read_commits
from transforms.output.configuration import read_configuration
from transforms.output.division import Division, ShardState, look_at_shards, read_division
from transforms.output.holders import PARTS, RUN, Holder, State, read_holders, state_of
from transforms.output.reopened import read_reopened


@dataclass(frozen=True, slots=True)
class FileStatus:
    """What is committed of one input file.

    Attributes:
        source: Path below the input root.
        status: ``finished``, ``failed`` (could not be read to its end) or ``unfinished``.
        records: Records that it holds; None where that is not known.
        rows: Rows on disk.
        dead_letters: Dead letters on disk, the file's own not counted.
        pt: Path of its ``.pt`` below the output root; None without one.
        pt_there: Whether that file is there.
    """

    source: str
    status: str
    records: int | None
    rows: int
    dead_letters: int
    pt: str | None
    pt_there: bool


@dataclass(frozen=True, slots=True)
class Reason:
    """Dead letters of one kind, the first of them as an example.

    Attributes:
        stage: Step that failed.
        error_type: Short class of the failure.
        count: How many there are.
        source: File of the first.
        ordinal: Its position there; None for the whole file.
        id: Its id.
        message: What is said of it.
    """

    stage: str
    error_type: str
    count: int
    source: str
    ordinal: int | None
    id: str
    message: str


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
        reasons: Why records and files failed, the most frequent first.
        gone: Committed files that are not there.
        shards: What is known of each shard that makes it; none if it is not made by shards.
        nucleotides: Files that seemed to hold nucleotides to the last run that has ended.
    """

    root: str
    configuration: Mapping[str, Any]
    holders: tuple[Holder, ...]
    states: tuple[State, ...]
    parts: int
    files: tuple[FileStatus, ...]
    reasons: tuple[Reason, ...]
    gone: tuple[str, ...]
    shards: tuple[ShardState, ...] = ()
    nucleotides: tuple[str, ...] = ()

    def count(self, status: str) -> int:
        """Returns how many files have a status."""
        return sum(file.status == status for file in self.files)


def look(output: str, sleep: Callable[[float], object] = time.sleep) -> Overview:
    """Reads what an output holds.

    A run may replace parts meanwhile. What is missing is looked for again in new records.

    Args:
        output: The output root.
        sleep: Waits for some seconds; replaced by tests.

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
    root: str, committed: Commits, failures: Sequence[Failures], gone: Sequence[str] = ()
) -> Overview:
    """Returns what an output holds, and who is at work in it.

    Args:
        root: The output root.
        committed: What it has committed.
        failures: Its dead letters by kind, the most frequent first.
        gone: Committed files that are not there.

    Raises:
        ConfigurationError: There is no output.
        OSError: It cannot be read.
    """
    configuration = read_configuration(root)
    division = read_division(root)
    holders = tuple(h for h in read_holders(root) if _is_of_interest(h, division))
    if configuration is None and not holders:
        raise no_output(root)
    files = tuple(_files(root, committed))
    return Overview(
        root=root,
        configuration=configuration or {},
        holders=holders,
        states=tuple(state_of(holder) for holder in holders),
        parts=len(committed.parts),
        files=files,
        reasons=tuple(map(_reason, failures)),
        gone=tuple(gone),
        shards=tuple(look_at_shards(root, division)) if division else (),
        nucleotides=read_suspects(root, {file.source for file in files}),
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


def _files(root: str, committed: Commits) -> Iterator[FileStatus]:
    parts_of = committed.by_source()
    failed = committed.failed_sources()
    there = {found.url for found in storage.match(storage.join(root, PT) + "/")}
    for source in sorted(parts_of.keys() | committed.files.keys() | read_reopened(root, committed)):
        record = committed.files.get(source)
        held = [part.sources[source] for part in parts_of.get(source, ())]
        pt = record.pt if record else None
        yield FileStatus(
            source=source,
            status="finished" if record else "failed" if source in failed else "unfinished",
            records=record.records if record else None,
            rows=sum(each.rows for each in held),
            dead_letters=sum(each.dead_letters for each in held),
            pt=pt,
            pt_there=pt is not None and storage.join(root, pt) in there,
        )


def _reason(failures: Failures) -> Reason:
    first = failures.first
    return Reason(
        stage=first.stage,
        error_type=first.error_type,
        count=failures.count,
        source=first.source,
        ordinal=first.ordinal,
        id=first.id,
        message=first.message,
    )
