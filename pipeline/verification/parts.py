"""Committed parts, opened again and held against their commit records.

Nothing that was read before is trusted: what is checked here is whether a file still holds what
its name and its record say. Every check is a pure function of what was read.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.verification.findings import Finding, place, some
from transforms import storage
from transforms.accession import find_accession
from transforms.arrays import Integers, Vectors
from transforms.dead_letters import decode_dead_letters
from transforms.items import DeadLetter
from transforms.messages import has_messages
from transforms.output.commits import DEAD_LETTERS, EMBEDDINGS, PartRecord
from transforms.output.parquet import make_schema, read_table, to_matrix
from transforms.text import one_line
from transforms.validation import find_faults

Configuration = Mapping[str, Any]

# The same weights under another name are the same model: a later run may name it otherwise.
_NAMES_OF_THE_MODEL = ("model", "revision")


@dataclass(frozen=True, slots=True, eq=False)
class PartRows:
    """The rows of a part, as they lie in its file.

    Attributes:
        table: All columns but the vectors.
        vectors: float32 array of shape (n, D).
        by_source: Where the rows of each input file lie.
    """

    table: pa.Table
    vectors: Vectors
    by_source: Mapping[str, Integers]


@dataclass(frozen=True, slots=True, eq=False)
class OpenedPart:
    """A part, read from its files.

    Attributes:
        record: Its commit.
        rows: Its rows; None without any, or where they cannot be read.
        dead_letters: Its dead letters.
        faults: What kept it from being read as it should.
    """

    record: PartRecord
    rows: PartRows | None = None
    dead_letters: tuple[DeadLetter, ...] = ()
    faults: list[Finding] = field(default_factory=list)


def open_part(root: str, record: PartRecord, configuration: Configuration) -> OpenedPart:
    """Reads a part; what is wrong with its files is among its ``faults``."""
    faults: list[Finding] = []
    rows: PartRows | None = None
    letters: tuple[DeadLetter, ...] = ()
    if record.embeddings:
        name = f"{EMBEDDINGS}/{record.embeddings}"
        if (data := _read(root, name, record, faults)) is not None:
            rows = _decode_rows(name, data, configuration, faults)
    if record.dead_letters:
        name = f"{DEAD_LETTERS}/{record.dead_letters}"
        if (data := _read(root, name, record, faults)) is not None:
            letters = _decode_letters(name, data, faults)
    return OpenedPart(record, rows, letters, faults)


def _read(root: str, name: str, record: PartRecord, faults: list[Finding]) -> bytes | None:
    url = storage.join(root, name)
    try:
        data = storage.read_bytes(url)
    except OSError as error:
        why = "is gone" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        faults.append(Finding("missing", f"{name}: {record.part} was committed with it; it {why}"))
        return None
    digest = hashlib.sha256(data).hexdigest()
    named = name.rpartition("-")[2].partition(".")[0]
    if not named or not digest.startswith(named):
        faults.append(
            Finding("digest", f"{name}: its SHA-256 begins with {digest[:16]}: it was changed")
        )
    return data


def _decode_rows(
    name: str, data: bytes, configuration: Configuration, faults: list[Finding]
) -> PartRows | None:
    try:
        table = read_table(data)
        table.validate(full=True)
        if found := list(check_schema(name, table.schema, configuration)):
            faults += found
            return None
        vectors = to_matrix(table.column("embedding"))
        sources = table.column("source").to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        faults.append(Finding("damaged", f"{name}: cannot be read as Parquet ({one_line(error)})"))
        return None
    positions: dict[str, list[int]] = {}
    for position, source in enumerate(sources):
        positions.setdefault(source, []).append(position)
    by_source = {source: np.array(at, np.int64) for source, at in positions.items()}
    return PartRows(table.drop_columns(["embedding"]), vectors, by_source)


def _decode_letters(name: str, data: bytes, faults: list[Finding]) -> tuple[DeadLetter, ...]:
    try:
        letters = decode_dead_letters(data)
    except (ValueError, TypeError) as error:
        faults.append(Finding("damaged", f"{name}: a line is no dead letter ({one_line(error)})"))
        return ()
    if not all(map(_is_sound, letters)):
        faults.append(Finding("damaged", f"{name}: a dead letter has a field that cannot be"))
        return ()
    return letters


def _is_sound(letter: DeadLetter) -> bool:
    """Tells whether what is looked at of a dead letter is of the right type."""
    ordinal = letter.ordinal
    return (
        isinstance(letter.source, str)
        and (ordinal is None or (isinstance(ordinal, int) and 0 <= ordinal < 1 << 62))
        and isinstance(letter.sequence, str | None)
    )


def check_schema(name: str, schema: pa.Schema, configuration: Configuration) -> Iterator[Finding]:
    """Columns, their types and the width of the vectors."""
    wanted = make_schema(configuration["dim"], of_messages=has_messages(configuration))
    if schema.equals(wanted, check_metadata=False):
        return
    differing = [column for column in wanted.names if column not in schema.names]
    differing += [
        column
        for column in schema.names
        if column not in wanted.names or schema.field(column) != wanted.field(column)
    ]
    what = ", ".join(differing) or "the order of the columns"
    width = configuration["dim"]
    yield Finding("schema", f"{name}: not as it must be for vectors of {width} values: {what}")


def check_part(part: OpenedPart, configuration: Configuration) -> Iterator[Finding]:
    """Yields all that is wrong with a part on its own."""
    yield from part.faults
    if part.rows is not None:
        name = f"{EMBEDDINGS}/{part.record.embeddings}"
        yield from check_footer(name, part.rows.table, configuration)
        yield from check_order(name, part.rows.table)
        yield from check_fields(name, part.rows.table, configuration)
        yield from check_vectors(name, part.rows)
    yield from check_dead_letters(part)
    # What could not be read cannot be counted.
    if all(fault.kind == "digest" for fault in part.faults):
        yield from check_counts(part)


def check_footer(name: str, table: pa.Table, configuration: Configuration) -> Iterator[Finding]:
    """What the rows were computed with: the footer, and the model that each row names."""
    try:
        footer = json.loads((table.schema.metadata or {}).get(b"esm_embed", b"{}"))
        held = {option: footer.get(option) for option in configuration}
    except (ValueError, AttributeError):
        yield Finding("configuration", f"{name}: its footer does not tell its configuration")
        return
    differing = [
        option
        for option, value in configuration.items()
        if held[option] != value and option not in _NAMES_OF_THE_MODEL
    ]
    if differing:
        yield Finding("configuration", f"{name}: was made with another {', '.join(differing)}")
        return
    model = held["model"], held["revision"] or held["fingerprint"]
    for column, wanted in zip(("model_id", "model_revision"), model, strict=True):
        if set(table.column(column).to_pylist()) - {wanted}:
            yield Finding("configuration", f"{name}: not every row has the {column} {wanted}")


def check_order(name: str, table: pa.Table) -> Iterator[Finding]:
    """Rows are sorted by source and ordinal, and no key comes twice."""
    sources, ordinals = (table.column(c).to_pylist() for c in ("source", "ordinal"))
    keys = list(zip(sources, ordinals, strict=True))
    for key, after in zip(keys, keys[1:], strict=False):
        if after < key:
            yield Finding("order", f"{name}: {place(*after)} comes after {place(*key)}")
        elif after == key:
            yield Finding("doubled", f"{name}: {place(*key)} has more than one row")


def check_fields(name: str, table: pa.Table, configuration: Configuration) -> Iterator[Finding]:
    """Lengths, truncation and accession agree with each other and with the configuration."""
    most = configuration["truncation_seq_length"]
    is_cut = configuration["long_sequences"] != "window"
    columns = ("source", "ordinal", "id", "accession", "sequence_length", "residues_used",
               "truncated")  # fmt: skip
    for source, ordinal, id_, accession, length, used, truncated in zip(
        *(table.column(column).to_pylist() for column in columns), strict=True
    ):
        wrong = []
        if ordinal < 0:
            wrong.append("ordinal")
        if length < 1 or used != (min(length, most) if is_cut else length):
            wrong.append("residues_used")
        if truncated != (used < length):
            wrong.append("truncated")
        if accession != find_accession(id_):
            wrong.append("accession")
        if wrong:
            yield Finding("field", f"{name}: {place(source, ordinal)}: {some(wrong)} cannot be")


def check_vectors(name: str, rows: PartRows) -> Iterator[Finding]:
    """Every value is finite, and no vector is zero all over."""
    for row, (_, fault) in find_faults(rows.vectors):
        source, ordinal = (rows.table.column(c)[row].as_py() for c in ("source", "ordinal"))
        yield Finding("vector", f"{name}: {place(source, ordinal)}: {fault}")


def check_dead_letters(part: OpenedPart) -> Iterator[Finding]:
    """Each is of the version of its file that the part holds, and its sequence is whole."""
    name = f"{DEAD_LETTERS}/{part.record.dead_letters}"
    for letter in part.dead_letters:
        if letter.ordinal is None:
            continue
        held = part.record.sources.get(letter.source)
        if held is not None and letter.file_sha256 != held.sha256:
            where = place(letter.source, letter.ordinal)
            yield Finding("version", f"{name}: {where} is of another version of its file")
        if letter.sequence is not None and (
            hashlib.sha256(letter.sequence.encode("utf-8", "surrogatepass")).hexdigest()
            != letter.sequence_sha256
        ):
            where = place(letter.source, letter.ordinal)
            yield Finding("field", f"{name}: {where}: the sequence is not that of its SHA-256")


def check_counts(part: OpenedPart) -> Iterator[Finding]:
    """The part holds of each file what its commit says."""
    rows = {s: len(at) for s, at in part.rows.by_source.items()} if part.rows else {}
    letters = Counter(each.source for each in part.dead_letters if each.ordinal is not None)
    failed = {each.source for each in part.dead_letters if each.ordinal is None}
    for source in sorted({*part.record.sources, *rows, *letters, *failed}):
        held = part.record.sources.get(source)
        wanted = (held.rows, held.dead_letters, held.failed) if held else (0, 0, False)
        found = (rows.get(source, 0), letters[source], source in failed)
        if found != wanted:
            yield Finding(
                "count",
                f"{part.record.part}: {source}: committed {_counts(*wanted)}, "
                f"holds {_counts(*found)}",
            )


def _counts(rows: int, dead_letters: int, failed: bool) -> str:
    whole = " and that of the file" if failed else ""
    return f"{rows:,} rows and {dead_letters:,} dead letters{whole}"
