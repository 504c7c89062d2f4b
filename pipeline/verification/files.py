"""Input files and what the parts of an output hold of them: outcomes and versions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.verification.findings import Finding, place, some
from pipeline.verification.parts import OpenedPart
from transforms.arrays import Integers
from transforms.items import DeadLetter
from transforms.output.commits import FileRecord, PartRecord
from transforms.output.parquet import make_schema

COLUMNS = ("ordinal", "id", "description", "sequence_length", "residues_used", "residue_changes",
           "sequence_sha256")  # fmt: skip
"""What is kept of the rows of a file."""

OpenPart = Callable[[PartRecord], OpenedPart]


@dataclass(frozen=True, slots=True, eq=False)
class FileContent:
    """What the parts hold of one input file, but for the vectors.

    Attributes:
        source: Path of the file below the input root.
        record: Its record; None for a file that is not finished.
        parts: The parts that hold any of it.
        rows: Its rows in FASTA order, :data:`COLUMNS` of them.
        part_of: For each row, its part's position in ``parts``.
        row_of: For each row, its position in that part.
        dead_letters: Those of its records, in FASTA order.
    """

    source: str
    record: FileRecord | None
    parts: Sequence[PartRecord]
    rows: pa.Table
    part_of: Integers
    row_of: Integers
    dead_letters: tuple[DeadLetter, ...]

    @property
    def ordinals(self) -> Integers:
        """The ordinals of the rows."""
        ordinals: Integers = self.rows.column("ordinal").to_numpy()
        return ordinals

    @property
    def versions(self) -> set[str]:
        """The versions of the file that the parts hold records of."""
        held = [part.sources[self.source] for part in self.parts]
        return {each.sha256 for each in held if each.rows or each.dead_letters}


def gather_content(
    source: str, record: FileRecord | None, parts: Sequence[PartRecord], open_part: OpenPart
) -> FileContent:
    """Reads what the parts hold of a file.

    Args:
        source: The file.
        record: Its record, if it is finished.
        parts: The parts that hold any of it.
        open_part: Reads a part; what cannot be read of it is missing here, too.
    """
    schema = _schema()
    tables = [schema.empty_table()]
    part_of, row_of = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    letters: list[DeadLetter] = []
    for index, part in enumerate(parts):
        opened = open_part(part)
        letters += (d for d in opened.dead_letters if d.source == source and d.ordinal is not None)
        if opened.rows is not None and source in opened.rows.by_source:
            at = opened.rows.by_source[source]
            tables.append(opened.rows.table.select(schema.names).take(at).cast(schema))
            part_of.append(np.full(len(at), index))
            row_of.append(at)
    rows = pa.concat_tables(tables)
    order = np.argsort(rows.column("ordinal").to_numpy(), kind="stable")
    letters.sort(key=lambda letter: letter.ordinal or 0)
    return FileContent(
        source,
        record,
        parts,
        rows.take(order),
        np.concatenate(part_of)[order],
        np.concatenate(row_of)[order],
        tuple(letters),
    )


def _schema() -> pa.Schema:
    # The strings of a part have less than 2 GiB, those of a file may have more.
    kinds = {field.name: field.type for field in make_schema(1)}
    return pa.schema(
        (name, pa.large_string() if kinds[name] == pa.string() else kinds[name]) for name in COLUMNS
    )


def check_file(content: FileContent) -> Iterator[Finding]:
    """Yields all that is wrong with the records of a file in the parts."""
    yield from check_unique(content)
    yield from check_versions(content)
    if content.record is not None:
        yield from check_outcomes(content, content.record)


def check_unique(content: FileContent) -> Iterator[Finding]:
    """No record of a file has two outcomes."""
    ordinals, counts = np.unique(_all_ordinals(content), return_counts=True)
    for ordinal, count in zip(ordinals[counts > 1], counts[counts > 1], strict=True):
        where = place(content.source, int(ordinal))
        yield Finding("doubled", f"{where}: has {count} outcomes in the parts instead of one")


def check_versions(content: FileContent) -> Iterator[Finding]:
    """All records of a file are of one version of it."""
    versions = content.versions | ({content.record.sha256} if content.record else set())
    if len(versions) > 1:
        named = some(sorted(version[:16] for version in versions))
        yield Finding("version", f"{content.source}: its records are of several versions: {named}")


def check_outcomes(content: FileContent, record: FileRecord) -> Iterator[Finding]:
    """Each record of a finished file has an outcome, and its record counts them."""
    found = len(content.rows), len(content.dead_letters)
    wanted = record.rows, record.dead_letters
    if found != wanted or record.records != sum(wanted):
        yield Finding(
            "count",
            f"{content.source}: finished with {record.records:,} records, {wanted[0]:,} rows and "
            f"{wanted[1]:,} dead letters; the parts hold {found[0]:,} and {found[1]:,}",
        )
    held = np.unique(_all_ordinals(content))
    is_known = (held >= 0) & (held < record.records)
    if lost := record.records - int(is_known.sum()):
        # Of three numbers more than are held at least three are lost; no need to look further.
        looked_at = np.arange(min(record.records, len(held) + 3))
        first = (np.setdiff1d(looked_at, held) + 1).tolist()
        gone = sorted(set(record.parts) - {part.part for part in content.parts})
        why = f"; not committed: {some(gone)}" if gone else ""
        yield Finding("lost", f"{content.source}: no outcome for record {some(first, lost)}{why}")
    if beyond := (held[~is_known] + 1).tolist():
        yield Finding("count", f"{content.source}: has no record {some(beyond)}")


def _all_ordinals(content: FileContent) -> Integers:
    letters = np.array([letter.ordinal for letter in content.dead_letters], np.int64)
    return np.concatenate([content.ordinals, letters])
