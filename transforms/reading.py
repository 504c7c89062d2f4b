"""From a FASTA file to its records.

There are two passes over a file. The first reads it to its end, hashes it and counts; only then
do records go on, so that a damaged file yields no row and a reader of the output never sees half
of one. The second, for which a large file is read again, yields the records and makes sure that
they are those of the first: where they are not, the file fails after all, and what was sent on of
it counts for nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import apache_beam as beam

from transforms import events, storage
from transforms.commits import Output
from transforms.compression import BombError, CorruptError, TruncatedError, decompress
from transforms.dead_letters import announce, file_failed, now, record_failed
from transforms.errors import FastaFormatError
from transforms.fasta import (
    MAX_RECORD_RESIDUES,
    Counts,
    FastaRecord,
    parse_fasta,
    scan_fasta,
)
from transforms.finding import FastaFile
from transforms.items import Batch, DeadLetter, EndOfFile, Item, Protein
from transforms.retrying import RetriedError
from transforms.stopping import EndLook

BATCH_ITEMS = 64
BATCH_RESIDUES = 1 << 14
"""Half of what the model gets at a time by default. After a stop, what was read is embedded."""

HELD_BYTES = 1 << 24
"""A file with at most so many bytes of text is read once; its text is held between the passes."""

OpenChunks = Callable[[str], Iterator[bytes]]

_ERROR_TYPES = {TruncatedError: "truncated", CorruptError: "corrupt", BombError: "bomb"}


class _Readers:
    # A plain flag: a signal handler sets it, and the thread that the handler interrupts might hold
    # the lock of an Event.
    are_to_stop = False
    # Of the run that this process reads for: its command may be in another one.
    end: EndLook | None = None


class _StoppedError(Exception):
    """A stop was requested in the middle of a file."""


def request_stop() -> None:
    """Asks every reader of this process to end where it is, without an EndOfFile."""
    _Readers.are_to_stop = True


def stop_requested() -> bool:
    """Tells whether readers are to end."""
    return _Readers.are_to_stop or (_Readers.end is not None and _Readers.end.is_requested())


def clear_stop() -> None:
    """Lets readers read again."""
    _Readers.are_to_stop = False
    _Readers.end = None


@dataclass
class ReadFasta(beam.PTransform):  # type: ignore[misc]
    """Reads files: each FastaFile becomes its records and an EndOfFile, or one DeadLetter.

    They come in batches, of one file each.

    Attributes:
        output: Where it is looked whether the run is to end, once a second, since the command may
            be in another process; None for nowhere.
    """

    output: Output | None = None

    def expand(self, files: beam.PCollection[FastaFile]) -> beam.PCollection[Item]:
        """Returns the batches, those of one file in order."""
        return files | beam.ParDo(_ReadFastaDoFn(self.output)).with_output_types(Item)


class _ReadFastaDoFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self, output: Output | None) -> None:
        self._output = output

    def setup(self) -> None:
        _Readers.end = EndLook(self._output) if self._output else None

    def process(self, element: FastaFile) -> Iterator[Item]:
        if not stop_requested():
            events.emit(events.FileBegun(element.source))
        yield from in_batches(read_items(_look_again(element)))


def _look_again(file: FastaFile) -> FastaFile:
    """Returns a file with its size and time of now: it may have changed since it was listed.

    A file is known again by them, so they have to be those of the version that is read.
    """
    try:
        found = storage.look_up(file.url)
    except (OSError, ValueError):  # reading it tells better what is wrong
        return file
    return replace(file, size=found.size, mtime=found.mtime) if found else file


def in_batches(items: Iterable[Item]) -> Iterator[Batch]:
    """Yields items in batches, since an element costs Beam more than a record costs a step."""
    held: list[Item] = []
    residues = 0
    for item in items:
        held.append(item)
        residues += len(item.sequence) if isinstance(item, Protein) else 0
        if len(held) == BATCH_ITEMS or residues >= BATCH_RESIDUES:
            yield Batch(tuple(held))
            held, residues = [], 0
    if held:
        yield Batch(tuple(held))


def read_items(file: FastaFile, open_chunks: OpenChunks = storage.open_chunks) -> Iterator[Item]:
    """Yields the records of a file, lazily, and its EndOfFile.

    A record without residues or with too many is a DeadLetter. A file that cannot be read to
    its end is one DeadLetter and nothing else. One that changes or vanishes between the passes,
    or is not the version that it must be, ends in such a DeadLetter instead of an EndOfFile.
    After :func:`request_stop` nothing more comes.

    Args:
        file: The file.
        open_chunks: Returns the bytes of a URL in chunks.
    """
    if stop_requested():
        return
    digest = hashlib.sha256()
    held: list[bytes] = []
    chunks = _hashed(open_chunks(file.url), digest)
    try:
        try:
            counts = scan_fasta(_hold(decompress(chunks), held))
        except FastaFormatError as error:
            for _ in chunks:  # to the end, so that the digest is that of the file
                pass
            error_type = _ERROR_TYPES.get(type(error), "not_fasta")
            message = f"{file.url}: {error}"
            yield file_failed(file.source, error_type, message, digest.hexdigest())
            return
    except _StoppedError:
        return
    except OSError as error:
        yield _unreadable(file, error)
        return
    if file.sha256 not in ("", digest.hexdigest()):
        yield _changed(file)  # else there would be rows of two versions
        return
    yield from _items_of(file, held, open_chunks, digest.hexdigest(), counts)


def _items_of(
    file: FastaFile, held: list[bytes], open_chunks: OpenChunks, file_sha256: str, counts: Counts
) -> Iterator[Item]:
    """The second pass, over the text that the first has held or, without any, over the file.

    Its failure carries no digest, since what was sent on may be of no version that there ever
    was, and every later run reads the file anew.
    """
    events.emit(events.FileOpened(file.source, file.size, counts.records, counts.residues))
    digest = hashlib.sha256()
    try:
        for record in parse_fasta(held or decompress(_hashed(open_chunks(file.url), digest))):
            if stop_requested():
                return
            yield item_of(record, file.source, file_sha256)
    except _StoppedError:
        return
    except FastaFormatError:  # there was none in the first pass
        yield _changed(file)
        return
    except OSError as error:
        yield _unreadable(file, error)
        return
    if not held and digest.hexdigest() != file_sha256:
        yield _changed(file)
        return
    yield end_of(file, file_sha256, counts)


def end_of(file: FastaFile, file_sha256: str, counts: Counts) -> EndOfFile:
    """Returns the end of a file that was read."""
    return EndOfFile(
        source=file.source,
        file_sha256=file_sha256,
        url=file.url,
        size=file.size,
        mtime=file.mtime,
        records=counts.records,
        residues=counts.residues,
        complete=file.complete,
    )


def item_of(record: FastaRecord, source: str, file_sha256: str) -> Protein | DeadLetter:
    """Returns a record as it goes on: without residues, or with too many, as a DeadLetter."""
    if record.sequence is None:
        return announce(
            DeadLetter(
                source=source,
                ordinal=record.ordinal,
                id=record.id,
                description=record.description,
                sequence=None,
                length=record.length,
                sequence_sha256="",
                file_sha256=file_sha256,
                stage="read",
                error_type="too_long",
                message=f"{_place(record)} has {record.length:,} residues; "
                f"the longest that can be read has {MAX_RECORD_RESIDUES:,}",
                attempts=1,
                time=now(),
            )
        )
    protein = Protein(
        source, record.ordinal, record.id, record.description, record.sequence, file_sha256
    )
    if not record.sequence:
        message = f"{_place(record)} has a header but no sequence"
        return record_failed(protein, "read", "empty_sequence", message)
    return protein


def _place(record: FastaRecord) -> str:
    return f"record {record.ordinal + 1:,} (line {record.line:,})"


def _hold(chunks: Iterable[bytes], held: list[bytes]) -> Iterator[bytes]:
    """Yields the chunks and adds them to ``held``, unless they are more than ``HELD_BYTES``."""
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size <= HELD_BYTES:
            held.append(chunk)
        else:
            held.clear()
        yield chunk


def _hashed(chunks: Iterator[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    for chunk in chunks:
        if stop_requested():
            raise _StoppedError
        digest.update(chunk)
        yield chunk


def _unreadable(file: FastaFile, error: OSError) -> DeadLetter:
    attempts = error.attempts if isinstance(error, RetriedError) else 1
    return file_failed(file.source, "unreadable", f"{file.url}: {error}", attempts=attempts)


def _changed(file: FastaFile) -> DeadLetter:
    message = (
        f"{file.url} changed while it was read: run again when nothing writes to it, "
        "and it is read anew"
    )
    return file_failed(file.source, "changed", message)
