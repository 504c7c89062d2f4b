"""Files that are put together from the shares of them that shards have noted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from transforms.esm_pt import ROWS_PER_GROUP, finish_files
from transforms.items import EndOfFile, FinishedFile
from transforms.output.commits import (
    FILES_PER_RECORD,
    Commits,
    Output,
    PartRecord,
    add_file_records,
)
from transforms.output.division import Division, ShardEnd
from transforms.shares import Share, read_shares


@dataclass
class _Known:
    """What shards have noted of a file: a share for each version of it, and who has that one."""

    shares: dict[str, Share] = field(default_factory=dict)
    numbers: dict[str, set[int]] = field(default_factory=dict)

    def add(self, number: int, share: Share) -> None:
        known = self.shares.get(share.sha256)
        numbers = self.numbers.setdefault(share.sha256, set())
        if number in numbers:
            return
        numbers.add(number)
        if known:
            share = replace(
                share,
                records=known.records + share.records,
                residues=known.residues + share.residues,
                rows=known.rows + share.rows,
                dead_letters=known.dead_letters + share.dead_letters,
            )
        self.shares[share.sha256] = share


def join_shares(
    root: str, division: Division, committed: Commits, ends: Mapping[int, ShardEnd]
) -> tuple[list[FinishedFile], list[str]]:
    """Finds the files of which all shards have noted their share, and that are not finished yet.

    Args:
        root: The output root.
        division: How it is divided.
        committed: What it has committed.
        ends: What the shards that have ended have left, by number.

    Returns:
        These files, and, if all shards have ended, why others cannot be finished.
    """
    parts_of = committed.by_source()
    known: dict[str, _Known] = {}
    for number, share in read_shares(root, map(division.shard, range(division.count))):
        if share.source not in committed.files:
            known.setdefault(share.source, _Known()).add(number, share)
    whole: list[FinishedFile] = []
    faults: list[str] = []
    for source, noted in sorted(known.items()):
        versions = [v for v, numbers in noted.numbers.items() if len(numbers) == division.count]
        if not versions:
            faults.append(_explain(source, noted, ends))
            continue
        file = _make_whole(noted.shares[versions[0]], parts_of.get(source, ()))
        if file.rows + file.dead_letters == file.end.records:
            whole.append(file)
        else:
            faults.append(
                f"{source}: the shards have {file.end.records:,} records of it, and the parts "
                f"hold {file.rows + file.dead_letters:,}. python -m pipeline.verify tells more."
            )
    return whole, faults if len(ends) == division.count else []


def write_whole(files: Iterable[FinishedFile], committed: Commits, output: Output) -> None:
    """Writes the ``.pt`` of files, their failures and their records.

    Raises:
        AccountingError: A record has no outcome or several.
    """
    for group in _in_groups(files):
        records = finish_files(group, committed.parts, output)
        add_file_records(output.root, output.run, records)


def _explain(source: str, noted: _Known, ends: Mapping[int, ShardEnd]) -> str:
    """Returns why a file is not finished though all shards have ended."""
    if len(noted.numbers) > 1:
        return (
            f"{source}: it changed while shards were at work. Put it back as it was and give all "
            "shards again; or release the output (--release) and go on without --shard."
        )
    have = set().union(*noted.numbers.values())
    lacking = [number for number in sorted(ends) if number not in have]
    failed = [number for number in lacking if source in ends[number].failed]
    named = ", ".join(map(str, failed or lacking))
    why = "could not be read by" if failed else "was not among the inputs of"
    return f"{source}: it {why} shard {named}. Give the same command again there."


def _make_whole(share: Share, parts: Sequence[PartRecord]) -> FinishedFile:
    """Returns a file as it is finished, by what all shards have of it together."""
    held = [
        (part.part, part.sources[share.source])
        for part in parts
        if part.sources[share.source].sha256 == share.sha256
    ]
    counting = [(name, each) for name, each in held if each.rows or each.dead_letters]
    return FinishedFile(
        end=EndOfFile(
            source=share.source,
            file_sha256=share.sha256,
            url=share.url,
            size=share.size,
            mtime=share.mtime,
            records=share.records,
            residues=share.residues,
        ),
        rows=sum(each.rows for _, each in counting),
        dead_letters=sum(each.dead_letters for _, each in counting),
        parts=tuple(sorted(name for name, _ in counting)),
    )


def _in_groups(files: Iterable[FinishedFile]) -> Iterator[list[FinishedFile]]:
    """Yields files that are written together, as a run does."""
    group: list[FinishedFile] = []
    for file in files:
        group.append(file)
        if len(group) >= FILES_PER_RECORD or sum(each.rows for each in group) >= ROWS_PER_GROUP:
            yield group
            group = []
    if group:
        yield group
