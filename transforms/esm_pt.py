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

from transforms import events, storage
from transforms.commits import (
    PT,
    FileRecord,
    Output,
    PartRecord,
    read_part_record,
    write_file_records,
)
from transforms.dead_letters import encode_dead_letters, now
from transforms.finding import stem
from transforms.gathering import BLOCK_BYTES, check_keys, gather
from transforms.items import FinishedFile, Item
from transforms.passing import ActOnKinds, act_on_kinds
from transforms.pt_format import write_pt

FILES_PER_RECORD = 256
SECONDS_PER_RECORD = 1.0


def pt_name(source: str) -> str:
    """Returns the path of a file's ``.pt`` below the output root."""
    return f"{PT}/{stem(source)}_ESM.pt"


def failures_name(source: str) -> str:
    """Returns the path of a file's failures below the output root."""
    return f"{PT}/{stem(source)}_ESM.failures.jsonl"


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
        check_keys(finished, parts, output.root)
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
        time=now("microseconds"),
    )


def _write_files(
    finished: FinishedFile, parts: Sequence[PartRecord], output: Output
) -> tuple[str, str]:
    content = gather(finished, parts, output.root)
    # In FASTA order each part is read when its turn comes; by length all are wanted at once.
    block_bytes: int | None = BLOCK_BYTES
    if output.pt_order == "length":
        content, block_bytes = content.longest_first(), None

    def write_vectors(handle: BinaryIO) -> None:
        write_pt(handle, content.ids, content.read_vectors(block_bytes))

    def write_failures(handle: BinaryIO) -> None:
        for letter in content.read_dead_letters():
            handle.write(encode_dead_letters([letter]))

    name, failures = pt_name(finished.end.source), failures_name(finished.end.source)
    # A kill on the way may leave failures that are none any more, but never a gap without them.
    if len(content.dead_letters):
        storage.publish(output.root, failures, write_failures)
    digest = storage.publish(output.root, name, write_vectors)
    if not len(content.dead_letters):
        url = storage.join(output.root, failures)
        if storage.exists(url):
            storage.delete(url)
    return name, digest


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
