"""Input files, read once more, and held against what an output says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.verification.files import FileContent
from pipeline.verification.findings import Finding, place, remark
from transforms import storage
from transforms.inputs.finding import FastaFile
from transforms.inputs.reading import look_again, read_items
from transforms.items import DeadLetter, EndOfFile, Protein
from transforms.residues import ResiduePolicy, check_residues

Offer = Callable[[Protein, str, int], None]
"""Takes a record that agrees with its row, the name of the part and the row in that part."""

_ROWS_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class _HeldRow:
    fields: dict[str, Any]
    part: str
    row: int


class _Outcomes:
    """The outcomes of a file's records, taken one record after the other."""

    def __init__(self, content: FileContent) -> None:
        self._rows = _rows_of(content)
        self._next = next(self._rows, None)
        self._letters: dict[int | None, list[DeadLetter]] = {}
        for letter in content.dead_letters:
            self._letters.setdefault(letter.ordinal, []).append(letter)

    def take(self, ordinal: int) -> tuple[list[_HeldRow], list[DeadLetter]]:
        """Returns the rows and dead letters of a record; ordinals must ascend."""
        rows = []
        while self._next is not None and self._next.fields["ordinal"] <= ordinal:
            if self._next.fields["ordinal"] == ordinal:
                rows.append(self._next)
            self._next = next(self._rows, None)
        return rows, self._letters.get(ordinal, [])


def _rows_of(content: FileContent) -> Iterator[_HeldRow]:
    rows = content.rows
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        for index, fields in enumerate(rows.slice(start, _ROWS_AT_ONCE).to_pylist(), start):
            part = content.parts[content.part_of[index]].part
            yield _HeldRow(fields, part, int(content.row_of[index]))


def check_input(
    content: FileContent, url: str, policy: ResiduePolicy, offer: Offer
) -> Iterator[Finding]:
    """Reads an input file again, record by record.

    A file that has changed or cannot be read yields one finding, and none of its records is
    looked at.
    """
    if not storage.exists(url):
        yield remark("input", f"{content.source}: not checked against {url}, which is gone")
        return
    outcomes = _Outcomes(content)
    for item in read_items(look_again(FastaFile(url, content.source, 0, 0.0))):
        assert isinstance(item, Protein | DeadLetter | EndOfFile)
        if isinstance(item, DeadLetter) and item.ordinal is None:
            yield _judge_failure(content, url, item)
            return
        if (found := _judge_version(content, url, item.file_sha256)) is not None:
            yield found
            return
        if isinstance(item, EndOfFile):
            yield from _compare_totals(content, item)
        else:
            yield from _compare(item, *outcomes.take(item.ordinal or 0), policy, offer)


def _judge_failure(content: FileContent, url: str, letter: DeadLetter) -> Finding:
    version = letter.file_sha256
    if version and (found := _judge_version(content, url, version)) is not None:
        return found
    if version:
        return Finding("input", f"{content.source}: was read before, and now: {letter.message}")
    return remark("input", f"{content.source}: not checked against its input: {letter.message}")


def _judge_version(content: FileContent, url: str, version: str) -> Finding | None:
    if content.record is None:
        if version in content.versions:
            return None
        return remark("input", f"{content.source}: {url} has changed; a run embeds it anew")
    if version == content.record.sha256:
        return None
    return Finding("input", f"{content.source}: {url} has changed since: the output is out of date")


def _compare_totals(content: FileContent, end: EndOfFile) -> Iterator[Finding]:
    record = content.record
    if record is None:
        return
    # An object store may not tell the size.
    size = record.size if end.size else 0
    wanted = (record.records, record.residues, size)
    found = (end.records, end.residues, end.size)
    if wanted != found:
        yield Finding(
            "input",
            f"{content.source}: finished with {_totals(*wanted)}; the input has {_totals(*found)}",
        )


def _totals(records: int, residues: int, size: int) -> str:
    return f"{records:,} records, {residues:,} residues and {size:,} bytes"


def _compare(
    item: Protein | DeadLetter,
    rows: list[_HeldRow],
    letters: list[DeadLetter],
    policy: ResiduePolicy,
    offer: Offer,
) -> Iterator[Finding]:
    """Holds a record as it is read now against its outcome."""
    where = place(item.source, item.ordinal or 0)
    for letter in letters:
        if letter.id != item.id:
            yield Finding("input", f"{where}: its dead letter is of another id")
    outcome = check_residues(item, policy) if isinstance(item, Protein) else item
    if isinstance(outcome, DeadLetter):
        if rows:
            yield Finding("input", f"{where}: has a row, but is refused ({outcome.error_type})")
        return
    for letter in letters:
        if letter.stage in ("read", "residues"):
            yield Finding("input", f"{where}: is a dead letter ({letter.error_type}), but is sound")
    for row in rows:
        if differing := [
            column for column, value in _expected(outcome).items() if row.fields[column] != value
        ]:
            yield Finding("input", f"{where}: {', '.join(differing)} not as in the input")
        else:
            offer(outcome, row.part, row.row)


def _expected(protein: Protein) -> dict[str, Any]:
    return {
        "id": protein.id,
        "description": protein.description or None,
        "sequence_length": len(protein.sequence),
        "residues_used": protein.residues_used,
        "residue_changes": protein.changes or None,
        "sequence_sha256": protein.sequence_sha256,
    }
