"""The ``_ESM.pt`` of each FASTA file, and the record that the file is finished.

``{'proteins': list[str], 'data': list[float32 tensor (D,)]}``, loadable with
``torch.load(weights_only=True)``: the format of the script that this pipeline replaces. The
tensors of a file share one storage that holds them and nothing else.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import BinaryIO

import apache_beam as beam
import numpy as np
import torch

from transforms import events, storage
from transforms.commits import (
    PT,
    FileRecord,
    Output,
    PartRecord,
    read_part_record,
    write_file_records,
)
from transforms.committed import read_dead_letters, read_keys, read_rows
from transforms.dead_letters import encode_dead_letters
from transforms.errors import AccountingError
from transforms.finding import stem
from transforms.items import DeadLetter, FinishedFile, Item
from transforms.parquet import Vectors
from transforms.passing import ActOnKinds, act_on_kinds

FILES_PER_RECORD = 256
SECONDS_PER_RECORD = 1.0


def pt_name(source: str) -> str:
    """Returns the path of a file's ``.pt`` below the output root."""
    return f"{PT}/{stem(source)}_ESM.pt"


def failures_name(source: str) -> str:
    """Returns the path of a file's failures below the output root."""
    return f"{PT}/{stem(source)}_ESM.failures.jsonl"


def check_ordinals(finished: FinishedFile, rows: list[int], dead: list[int]) -> None:
    """Makes sure that each record of a file has exactly one outcome.

    Raises:
        AccountingError: One has none or several; the first is named.
    """
    end = finished.end
    counts = np.bincount([*rows, *dead], minlength=end.records)
    wrong = np.flatnonzero(counts != 1)
    if len(wrong) or len(counts) != end.records:
        first = int(wrong[0]) if len(wrong) else end.records
        raise AccountingError(
            f"{end.source}: read {end.records}, embedded {len(rows)}, dead-lettered {len(dead)}; "
            f"record {first + 1} has {counts[first]} outcomes instead of one"
        )


@dataclass(frozen=True, slots=True)
class _Gathered:
    ids: list[str]
    residues_used: list[int]
    vectors: Vectors
    dead_letters: list[DeadLetter]


def gather(finished: FinishedFile, parts: Sequence[PartRecord], root: str) -> _Gathered:
    """Reads the rows and dead letters of a file from its parts, in FASTA order.

    Raises:
        AccountingError: A record has no outcome or several.
    """
    source = finished.end.source
    held = [rows for part in parts if (rows := read_rows(root, part, source))]
    dead = [
        letter
        for part in parts
        for letter in read_dead_letters(root, part, source)
        if letter.ordinal is not None
    ]
    dead.sort(key=lambda letter: letter.ordinal or 0)
    ordinals = [ordinal for rows in held for ordinal in rows.ordinals]
    check_ordinals(finished, ordinals, [letter.ordinal or 0 for letter in dead])
    order = np.argsort(np.array(ordinals, dtype=np.int64), kind="stable")
    ids = [name for rows in held for name in rows.ids]
    used = [count for rows in held for count in rows.residues_used]
    vectors = np.concatenate([r.vectors for r in held]) if held else np.zeros((0, 0), np.float32)
    return _Gathered([ids[i] for i in order], [used[i] for i in order], vectors[order], dead)


def write_pt(handle: BinaryIO, ids: list[str], vectors: Vectors) -> None:
    """Writes ids and vectors, float32 of shape (n, D), in the ``_ESM.pt`` format."""
    matrix = torch.from_numpy(np.ascontiguousarray(vectors, dtype=np.float32))
    torch.save({"proteins": ids, "data": list(matrix.unbind(0))}, handle)


def finish_file(finished: FinishedFile, parts: Sequence[PartRecord], output: Output) -> FileRecord:
    """Writes what a finished file gets, and returns its record, which is still to be written.

    Args:
        finished: The file.
        parts: The parts in which its records lie.
        output: Where to write.

    Raises:
        AccountingError: A record has no outcome or several.
    """
    name = digest = None
    if output.pt:
        name, digest = _write_files(finished, parts, output)
    else:
        _check_keys(finished, parts, output.root)
    end = finished.end
    return FileRecord(
        source=end.source,
        url=end.url,
        size=end.size,
        mtime=end.mtime,
        sha256=end.file_sha256,
        records=end.records,
        residues=end.residues,
        rows=finished.rows,
        dead_letters=finished.dead_letters,
        parts=finished.parts,
        pt=name,
        pt_sha256=digest,
    )


def _write_files(
    finished: FinishedFile, parts: Sequence[PartRecord], output: Output
) -> tuple[str, str]:
    source = finished.end.source
    content = gather(finished, parts, output.root)
    ids, vectors = content.ids, content.vectors
    if output.pt_order == "length":
        order = sorted(range(len(ids)), key=lambda i: -content.residues_used[i])
        ids, vectors = [ids[i] for i in order], vectors[order]
    if content.dead_letters:
        data = encode_dead_letters(content.dead_letters)
        storage.publish(output.root, failures_name(source), lambda handle: handle.write(data))
    name = pt_name(source)
    return name, storage.publish(output.root, name, lambda h: write_pt(h, ids, vectors))


def _check_keys(finished: FinishedFile, parts: Sequence[PartRecord], root: str) -> None:
    keys = [read_keys(root, part, finished.end.source) for part in parts]
    rows = [ordinal for held in keys for ordinal in held.rows]
    dead = [ordinal for held in keys for ordinal in held.dead_letters if ordinal is not None]
    check_ordinals(finished, rows, dead)


class _WriteEsmPtDoFn(ActOnKinds):
    """Writes the files at once and their records a few at a time.

    A file whose record is lost in a crash is finished again by the next run, from the same rows.
    """

    kinds = (FinishedFile,)

    def __init__(self, output: Output) -> None:
        self._output = output

    def start_bundle(self) -> None:
        self._records: list[FileRecord] = []
        self._written = time.monotonic()
        # Small files share parts. A part may be replaced when a bundle is tried again, so what
        # was read of it is kept no longer than the bundle.
        self._read_part = lru_cache(maxsize=8)(partial(read_part_record, self._output.root))

    def act(self, item: FinishedFile) -> Iterable[Item]:  # type: ignore[override]
        parts = [self._read_part(name) for name in item.parts]
        self._records.append(finish_file(item, parts, self._output))
        events.emit(events.FileFinished(item.end.source, item.rows, item.dead_letters))
        waited = time.monotonic() - self._written
        if len(self._records) >= FILES_PER_RECORD or waited >= SECONDS_PER_RECORD:
            self._write_records()
        return (item,)

    def finish_bundle(self) -> None:
        self._write_records()

    def _write_records(self) -> None:
        if self._records:
            name = f"{self._output.run}-{uuid.uuid4().hex[:12]}"
            write_file_records(self._output.root, name, self._records)
            self._records = []
        self._written = time.monotonic()


@dataclass
class WriteEsmPt(beam.PTransform):  # type: ignore[misc]
    """Writes the ``_ESM.pt`` of each finished file, its failures and its record.

    Attributes:
        output: Where to write; without ``output.pt`` the records alone.
    """

    output: Output

    def expand(self, items: beam.PCollection[Item]) -> beam.PCollection[Item]:
        """Applies the step."""
        return items | act_on_kinds(_WriteEsmPtDoFn(self.output))
