"""From a FASTA file to its records.

There are two passes over a file. The first reads it to its end, hashes it and counts; only then
do records go on, so that a damaged file yields no row and a reader of the output never sees half
of one. The second, for which a large file is read again, yields the records and makes sure that
they are those of the first: where they are not, the file fails after all, and what was sent on of
it counts for nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import apache_beam as beam

from transforms import events, storage
from transforms.dead_letters import file_failed, record_failed
from transforms.errors import FastaFormatError
from transforms.inputs.compression import BombError, CorruptError, TruncatedError, decompress
from transforms.inputs.fasta import (
    MAX_RECORD_RESIDUES,
    Counts,
    FastaRecord,
    parse_fasta,
    scan_fasta,
)
from transforms.inputs.finding import FastaFile
from transforms.inputs.stopping import HeedingDoFn, StoppedError, stop_requested
from transforms.items import Batch, DeadLetter, EndOfFile, Item, Protein
from transforms.output.commits import Output
from transforms.output.shards import Shard
from transforms.retrying import RetriedError

BATCH_ITEMS = 64
BATCH_RESIDUES = 1 << 14
"""Half a batch of a CPU, and far less of one of a GPU. After a stop, what was read is embedded."""

HELD_BYTES = 1 << 24
"""A file with at most so many bytes of text is read once; its text is held between the passes."""

_ERROR_TYPES = {TruncatedError: "truncated", CorruptError: "corrupt", BombError: "bomb"}


@dataclass
class ReadFasta(beam.PTransform):  # type: ignore[misc]
    """Reads files: each FastaFile becomes its records and an EndOfFile, or one DeadLetter.

    They come in batches, of one file each.

    Attributes:
        output: Where it is looked whether the run is to end, and whose records are wanted if it
            is a shard; None for nowhere, and all.
    """

    output: Output | None = None

    def expand(self, files: beam.PCollection[FastaFile]) -> beam.PCollection[Item]:
        """Returns the batches, those of one file in order."""
        return files | beam.ParDo(_ReadFastaDoFn(self.output)).with_output_types(Item)


class _ReadFastaDoFn(HeedingDoFn):
    def process(self, element: FastaFile) -> Iterator[Item]:
        if not stop_requested():
            events.emit(events.FileBegun(element.source, element.size))
        shard = self._output.shard if self._output else None
        yield from in_batches(read_items(look_again(element), shard))


def look_again(file: FastaFile) -> FastaFile:
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


def read_items(file: FastaFile, shard: Shard | None = None) -> Iterator[Item]:
    """Yields the records of a file, lazily, and its EndOfFile.

    A record without residues or with too many is a DeadLetter. A file that cannot be read to
    its end is one DeadLetter and nothing else. One that changes or vanishes between the passes,
    or is not the version that it must be, ends in such a DeadLetter instead of an EndOfFile.
    After :func:`request_stop` nothing more comes.

    Args:
        file: The file.
        shard: The shard whose records are yielded and, in the EndOfFile, counted; None for all.
            What is wrong with the file as a whole concerns every shard.
    """
    if stop_requested():
        return
    digest = hashlib.sha256()
    held: list[bytes] = []
    chunks = hashed(storage.open_chunks(file.url), digest)
    try:
        try:
            counts = scan_fasta(_hold(decompress(chunks), held))
        except FastaFormatError as error:
            for _ in chunks:  # to the end, so that the digest is that of the file
                pass
            error_type = _ERROR_TYPES.get(type(error), "not_fasta")
            yield file_failed(file.source, error_type, str(error), digest.hexdigest())
            return
    except StoppedError:
        return
    except OSError as error:
        yield unreadable(file, error)
        return
    if file.sha256 not in ("", digest.hexdigest()):
        yield changed(file)  # else there would be rows of two versions
        return
    items = _items_of(file, held, digest.hexdigest(), counts, shard)
    yield from second_pass(file, items)


def second_pass(file: FastaFile, items: Iterator[Item]) -> Iterator[Item]:
    """Yields what is read of a file whose first pass found nothing wrong.

    What is wrong now ends it with a DeadLetter of the file, and a stop with nothing.
    """
    try:
        yield from items
    except StoppedError:
        return
    except FastaFormatError:  # there was none in the first pass
        yield changed(file)
    except OSError as error:
        yield unreadable(file, error)


def _items_of(
    file: FastaFile,
    held: list[bytes],
    file_sha256: str,
    counts: Counts,
    shard: Shard | None,
) -> Iterator[Item]:
    """The second pass, over the text that the first has held or, without any, over the file.

    Its failure carries no digest, since what was sent on may be of no version that there ever
    was, and every later run reads the file anew.
    """
    # What falls to a shard is known once it has been read; until then it is an even share.
    among = shard.count if shard else 1
    events.emit(
        events.FileOpened(file.source, file.size, counts.records // among, counts.residues // among)
    )
    records = residues = 0
    digest = hashlib.sha256()
    for record in parse_fasta(held or decompress(hashed(storage.open_chunks(file.url), digest))):
        if stop_requested():
            return
        if shard and not shard.holds(record):
            continue
        records, residues = records + 1, residues + record.length
        yield item_of(record, file.source, file_sha256)
    if not held and digest.hexdigest() != file_sha256:
        yield changed(file)
        return
    yield end_of(file, file_sha256, Counts(records, residues) if shard else counts)


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


def item_of(
    record: FastaRecord, source: str, file_sha256: str, place: str = ""
) -> Protein | DeadLetter:
    """Returns a record as it goes on: without residues, or with too many, as a DeadLetter.

    Args:
        record: The record.
        source: Path of its file below the input root.
        file_sha256: SHA-256 of that file.
        place: Where it stands, in words for a person; by default its place in the file.
    """
    protein = Protein(
        source, record.ordinal, record.id, record.description, record.sequence or "", file_sha256
    )
    if record.sequence:
        return protein
    place = place or place_of(record)
    if record.sequence is None:
        message = (
            f"{place} has {record.length:,} residues; "
            f"the longest that can be read has {MAX_RECORD_RESIDUES:,}"
        )
        return record_failed(protein, "read", "too_long", message, unheld=record.length)
    message = f"{place} has a header but no sequence"
    return record_failed(protein, "read", "empty_sequence", message)


def place_of(record: FastaRecord) -> str:
    """Returns in words where a record stands."""
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


def hashed(chunks: Iterator[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    """Yields the chunks and adds them to a digest.

    Raises:
        StoppedError: A stop was requested.
    """
    for chunk in chunks:
        if stop_requested():
            raise StoppedError
        digest.update(chunk)
        yield chunk


def unreadable(file: FastaFile, error: OSError) -> DeadLetter:
    """Returns the dead letter of a file that cannot be opened or read."""
    attempts = error.attempts if isinstance(error, RetriedError) else 1
    return file_failed(file.source, "unreadable", f"{file.url}: {error}", attempts=attempts)


def changed(file: FastaFile) -> DeadLetter:
    """Returns the dead letter of a file that is not what the first pass has read."""
    message = (
        f"{file.url} changed while it was read: run again when nothing writes to it, "
        "and it is read anew"
    )
    return file_failed(file.source, "changed", message)
