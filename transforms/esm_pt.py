"""The ``_ESM.pt`` of each FASTA file, and the record that the file is finished.

``{'proteins': list[str], 'data': list[float32 tensor (D,)]}``, loadable with
``torch.load(weights_only=True)``: the format of the script that this pipeline replaces. The
tensors of a file share one storage that holds them and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import BinaryIO

import apache_beam as beam

from transforms import events, storage
from transforms.dead_letters import encode_dead_letters
from transforms.items import FinishedFile, Item, Settled
from transforms.naming import failures_name, pt_name
from transforms.output.commits import (
    FILES_PER_RECORD,
    FileRecord,
    Output,
    PartRecord,
    add_file_records,
    read_part_record,
)
from transforms.output.file_counts import counts_of
from transforms.output.gathering import Gathered, check_keys, gather, read_whole
from transforms.output.growing import GrowingFile, GrowingFiles
from transforms.output.pt_format import write_pt
from transforms.passing import ActOnKinds, act_on_kinds
from transforms.times import now

ROWS_PER_GROUP = 4096
"""Files with so many rows, or one with more, are not held any longer."""
SECONDS_PER_RECORD = 1.0


def finish_files(
    finished: Sequence[FinishedFile],
    parts: Mapping[str, PartRecord],
    output: Output,
    grown: Mapping[str, GrowingFile] | None = None,
) -> list[FileRecord]:
    """Writes what finished files get, and returns their records, which are still to be written.

    Args:
        finished: The files.
        parts: The parts in which their records lie, by name.
        output: Where to write.
        grown: What has grown of the ``.pt`` of some of them, by source.

    Raises:
        AccountingError: A record has no outcome or several.
    """
    digests: Mapping[str, str] = {}
    if output.pt:
        digests = _write_files(finished, parts, output, grown or {})
    else:
        for each in finished:
            check_keys(each, [parts[name] for name in each.parts], output.root)
    time_of_all = now("microseconds")
    return [
        FileRecord(
            **counts_of(each),
            parts=each.parts,
            pt=pt_name(each.end.source) if output.pt else None,
            pt_sha256=digests.get(each.end.source),
            time=time_of_all,
        )
        for each in finished
    ]


def _write_files(
    finished: Sequence[FinishedFile],
    parts: Mapping[str, PartRecord],
    output: Output,
    grown: Mapping[str, GrowingFile],
) -> dict[str, str]:
    """Publishes the ``.pt`` and the failures of files; returns the SHA-256 of each ``.pt``."""
    root = output.root
    parts_of = {each.end.source: [parts[name] for name in each.parts] for each in finished}
    failing = {
        each.end.source: gather(each, parts_of[each.end.source], root)
        for each in finished
        if each.dead_letters
    }
    # A kill on the way may leave failures that are none any more, but never a gap without them.
    storage.publish_all(
        root,
        {
            failures_name(source): partial(_write_failures, content)
            for source, content in failing.items()
        },
    )

    digests: dict[str, str] = {}

    def write_vectors(each: FinishedFile, handle: BinaryIO) -> None:
        source, is_by_length = each.end.source, output.pt_order == "length"
        content = failing.get(source)
        rows = None if content or is_by_length else read_whole(each, parts_of[source], root)
        if rows is not None:
            digests[source] = write_pt(handle, rows.ids, [rows.vectors])
            return
        content = content or gather(each, parts_of[source], root)
        content = content.longest_first() if is_by_length else content
        begun = grown.get(source)
        if begun and begun.holds(content):
            digests[source] = begun.publish(content.ids, handle)
        else:
            digests[source] = write_pt(handle, content.ids, content.read_vectors())

    storage.publish_all(
        root, {pt_name(each.end.source): partial(write_vectors, each) for each in finished}
    )
    for source in parts_of.keys() - failing.keys():
        if storage.exists(url := storage.join(root, failures_name(source))):
            storage.delete(url)
    return digests


def _write_failures(content: Gathered, handle: BinaryIO) -> None:
    for letter in content.read_dead_letters():
        handle.write(encode_dead_letters([letter]))


def announce_finished(files: Iterable[FinishedFile]) -> None:
    """Tells of files that are done, and how long they took since they were complete."""
    now = time.time()
    for file in files:
        seconds = max(now - file.end.complete, 0.0)
        event = events.FileFinished(file.end.source, file.rows, file.dead_letters, seconds)
        events.emit(event)


class _WriteEsmPtDoFn(ActOnKinds):
    """Writes the files of a group together, and then their records.

    A group is written when it is large enough, or with the first item that comes a second after
    the one before: with the next part at the latest. A file that is lost in a crash is finished
    again by the next run, from the same rows.
    """

    kinds = (FinishedFile, Settled)

    def __init__(self, output: Output) -> None:
        self._output = output
        self._growing = GrowingFiles(output)

    def start_bundle(self) -> None:
        self._held: list[FinishedFile] = []
        self._rows = 0
        self._records: list[FileRecord] = []
        self._written = time.monotonic()
        # Small files share parts. A part may be replaced when a bundle is tried again, so what
        # was read of it is kept no longer than the bundle.
        self._read_part = lru_cache(maxsize=8)(partial(read_part_record, self._output.root))

    def act(self, item: FinishedFile | Settled) -> Iterable[Item]:  # type: ignore[override]
        self._growing.see(item)
        if isinstance(item, FinishedFile):
            self._held.append(item)
            self._rows += item.rows
            if not storage.is_local(self._output.root):
                self._write_files()
        files = len(self._held) + len(self._records)
        is_full = files >= FILES_PER_RECORD or self._rows >= ROWS_PER_GROUP
        if is_full or time.monotonic() - self._written >= SECONDS_PER_RECORD:
            self._write_records()
        return (item,)

    def finish_bundle(self) -> None:
        self._write_records()

    def teardown(self) -> None:
        self._growing.close()

    def _write_files(self) -> None:
        parts = {name: self._read_part(name) for each in self._held for name in each.parts}
        with ExitStack() as stack:
            grown = {
                each.end.source: stack.enter_context(closing(file))
                for each in self._held
                if (file := self._growing.take(each))
            }
            self._records += finish_files(self._held, parts, self._output, grown)
        announce_finished(self._held)
        self._held, self._rows = [], 0

    def _write_records(self) -> None:
        self._write_files()
        if self._records:
            add_file_records(self._output.root, self._output.run, self._records)
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
