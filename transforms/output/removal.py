"""Taking records back out of an output: of a file that has changed, or that is to be tried again.

A part never changes. What is left of it becomes a part of its own: its data files first, then the
commit record that names the old part as replaced, which is the moment from which the new one
counts, and last the old one goes. A kill in between leaves the old part or the new one, and
``sweeping.sweep`` removes the other.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from transforms import storage
from transforms.dead_letters import encode_dead_letters
from transforms.items import DeadLetter
from transforms.naming import failures_name, pt_name
from transforms.output.commits import (
    DEAD_LETTERS,
    EMBEDDINGS,
    PartRecord,
    PartSource,
    delete_file_records,
    delete_part_record,
    find_part_record,
    read_commits,
    write_part_record,
)
from transforms.output.committed import read_all_dead_letters, read_all_rows
from transforms.output.parquet import encode_table
from transforms.output.parts import count_sources, publish_data
from transforms.output.sweeping import delete_replaced, sweep


@dataclass(frozen=True, slots=True)
class Removal:
    """What is taken out of the parts of one input file.

    Attributes:
        rows: Whether its embedded records go.
        dead_letters: Whether the dead letters of its records go.
        failure: Whether the dead letter of the whole file goes.
    """

    rows: bool = False
    dead_letters: bool = False
    failure: bool = False

    def touches(self, held: PartSource) -> bool:
        """Tells whether there is anything to take out of a part."""
        return bool(
            (self.rows and held.rows)
            or (self.dead_letters and held.dead_letters)
            or (self.failure and held.failed)
        )

    def takes(self, letter: DeadLetter) -> bool:
        """Tells whether a dead letter goes."""
        return self.failure if letter.ordinal is None else self.dead_letters


EVERYTHING = Removal(rows=True, dead_letters=True, failure=True)
ALL_FAILURES = Removal(dead_letters=True, failure=True)
ALL_RECORDS = Removal(rows=True, dead_letters=True)
FILE_FAILURE = Removal(failure=True)


def reopen_files(root: str, sources: Collection[str]) -> None:
    """Makes files unfinished again: their ``.pt`` and failures go, and then their record."""
    for source in sources:
        for name in (pt_name(source), failures_name(source)):
            storage.delete(storage.join(root, name))
    if sources:
        delete_file_records(root, sources)


def remove_records(
    root: str, run: str, removals: Mapping[str, Removal], is_at_rest: bool = True
) -> None:
    """Takes records out of the committed parts of an output.

    Only for a run that has the output to itself.

    Args:
        root: The output root.
        run: The run that does so; it gives the new parts their names.
        removals: What goes, by input file.
        is_at_rest: Whether the run writes nothing meanwhile. If not, only what the replaced parts
            named is swept, and nothing may be at work that needs one of them.
    """
    parts = read_commits(root).parts.values() if removals else ()
    for part in parts:
        if any(
            source in removals and removals[source].touches(held)
            for source, held in part.sources.items()
        ):
            _replace(root, f"part-{run}-rest-{uuid.uuid4().hex[:12]}", part, removals)
    if is_at_rest:
        sweep(root)


def keep_last_failures(root: str, run: str) -> None:
    """Takes out all but the last dead letter of each whole file: several shards may have failed it.

    Only for a run that has the output to itself.

    Args:
        root: The output root.
        run: The run that does so; it gives the new parts their names.
    """
    parts = sorted(read_commits(root).parts.values(), key=lambda part: part.time)
    last = {s: part.part for part in parts for s, held in part.sources.items() if held.failed}
    for part in parts:
        failed = [source for source, held in part.sources.items() if held.failed]
        doubled = {source: FILE_FAILURE for source in failed if last[source] != part.part}
        if doubled:
            _replace(root, f"part-{run}-rest-{uuid.uuid4().hex[:12]}", part, doubled)


def _replace(root: str, name: str, part: PartRecord, removals: Mapping[str, Removal]) -> None:
    rows = _rows_left(root, part, [source for source in removals if removals[source].rows])
    held = read_all_dead_letters(root, part.dead_letters) if part.dead_letters else []
    letters = [each for each in held if not removals.get(each.source, Removal()).takes(each)]
    row_sources = [] if rows is None else rows.column("source").to_pylist()
    versions = {source: held.sha256 for source, held in part.sources.items()}
    if sources := count_sources(row_sources, letters, versions):
        record = replace(
            part,
            part=name,
            embeddings=_publish_rows(root, name, part, rows),
            # Not by the record: of a file that has failed there may be several.
            dead_letters=part.dead_letters
            if len(letters) == len(held)
            else _publish_letters(root, name, letters),
            sources=sources,
            # Also those before: finished files name the parts in which their records once lay.
            replaces=(part.part, *part.replaces),
        )
        write_part_record(root, record)
        delete_replaced(root, [part], {record.embeddings, record.dead_letters})
        return
    # What a killed compaction or removal has left of those before would count again.
    before = filter(None, (find_part_record(root, each) for each in part.replaces))
    delete_replaced(root, sorted(before, key=lambda each: each.time))
    # No other one counts instead: its record must not outlive its data.
    delete_part_record(root, part.part)
    for folder, old in ((EMBEDDINGS, part.embeddings), (DEAD_LETTERS, part.dead_letters)):
        if old:
            storage.delete(storage.join(root, folder, old))


def _rows_left(root: str, part: PartRecord, sources: Sequence[str]) -> pa.Table | None:
    if part.embeddings is None:
        return None
    table = read_all_rows(root, part.embeddings)
    gone = pc.is_in(table.column("source"), value_set=pa.array(sources, pa.string()))
    return table.filter(pc.invert(gone))


def _publish_rows(root: str, name: str, part: PartRecord, rows: pa.Table | None) -> str | None:
    if rows is None or not len(rows):
        return None
    if len(rows) == part.rows:
        return part.embeddings  # nothing was taken out of it
    return publish_data(root, EMBEDDINGS, name, encode_table(rows))


def _publish_letters(root: str, name: str, letters: Sequence[DeadLetter]) -> str | None:
    data = encode_dead_letters(letters) if letters else None
    return publish_data(root, DEAD_LETTERS, name, data)
