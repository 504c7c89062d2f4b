"""Parts: what is committed at one time.

A part is a Parquet file of its rows, a JSON Lines file of its dead letters and, written last, a
commit record that names both: it counts only with that record. A part's name is its run, lane and
sequence number; its data files add their digest. The sequence number lives in the state of the
step, so a bundle that is tried again replaces its own commit records and never adds to them; the
run is drawn anew at every start, so no other run's part is ever replaced.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from transforms import events, storage
from transforms.arrays import Vectors
from transforms.dead_letters import address, encode_dead_letters
from transforms.items import DeadLetter, EmbeddingBlock, Item, Protein, Settled
from transforms.output.commits import (
    DEAD_LETTERS,
    EMBEDDINGS,
    Output,
    PartRecord,
    PartSource,
    delete_part_record,
    has_part_record,
    write_part_record,
)
from transforms.output.committed import remember_rows
from transforms.output.holders import lock_name
from transforms.output.locks import check_held
from transforms.output.parquet import encode_rows
from transforms.times import now

DIGEST_LETTERS = 16
"""How much of the SHA-256 of a data file is in its name."""

_SUFFIXES = {EMBEDDINGS: ".parquet", DEAD_LETTERS: ".jsonl"}


@dataclass(frozen=True, slots=True)
class PartContent:
    """What goes into a part.

    Attributes:
        proteins: n embedded records, sorted by source and ordinal.
        vectors: float32 array of shape (n, D) in the same order.
        dead_letters: Failed records and files, sorted likewise.
    """

    proteins: tuple[Protein, ...]
    vectors: Vectors
    dead_letters: tuple[DeadLetter, ...]


def collect(items: Iterable[Item]) -> PartContent:
    """Sorts blocks and dead letters into the content of one part."""
    held = list(items)
    blocks = [item for item in held if isinstance(item, EmbeddingBlock)]
    dead = [item for item in held if isinstance(item, DeadLetter)]
    dead.sort(key=address)
    if not blocks:
        return PartContent((), np.zeros((0, 0), np.float32), tuple(dead))
    proteins = [protein for block in blocks for protein in block.proteins]
    vectors = np.concatenate([block.vectors for block in blocks])
    places = [(protein.source, protein.ordinal) for protein in proteins]
    if (order := sorted(range(len(places)), key=places.__getitem__)) != list(range(len(places))):
        proteins, vectors = [proteins[i] for i in order], vectors[order]
    return PartContent(tuple(proteins), vectors, tuple(dead))


def encode(content: PartContent, output: Output) -> tuple[bytes | None, bytes | None]:
    """Returns the bytes of a part's Parquet and JSON Lines file; None for one with no record."""
    rows = encode_rows(content.proteins, content.vectors, output) if content.proteins else None
    dead = encode_dead_letters(content.dead_letters) if content.dead_letters else None
    return rows, dead


def publish(
    name: str, content: PartContent, rows: bytes | None, dead: bytes | None, output: Output
) -> PartRecord:
    """Puts the files of a part in place and then commits it.

    Raises:
        LostError: The lock of the output is another run's by now.
    """
    items: tuple[Protein | DeadLetter, ...] = (*content.dead_letters, *content.proteins)
    versions = {item.source: item.file_sha256 for item in items}
    record = PartRecord(
        part=name,
        run=output.run,
        embeddings=publish_data(output.root, EMBEDDINGS, name, rows),
        dead_letters=publish_data(output.root, DEAD_LETTERS, name, dead),
        # Exact enough to tell the later of two parts of quick runs.
        time=now("microseconds"),
        sources=count_sources([p.source for p in content.proteins], content.dead_letters, versions),
    )
    if output.lock:  # a run that was suspended may have been taken for dead
        check_held(output.root, output.lock, lock_name(output.shard))
    write_part_record(output.root, record)
    return record


def publish_data(root: str, folder: str, part: str, data: bytes | None) -> str | None:
    """Puts a data file of a part in place and returns its name, which ends in its digest.

    Args:
        root: The output root.
        folder: ``embeddings`` or ``dead_letters``.
        part: Name of the part.
        data: Content of the file; None for no file.
    """
    if data is None:
        return None
    digest = hashlib.sha256(data).hexdigest()[:DIGEST_LETTERS]
    name = f"{part}-{digest}{_SUFFIXES[folder]}"
    storage.publish(root, f"{folder}/{name}", lambda handle: handle.write(data))
    return name


def withdraw_later(root: str, run: str, lane: int, sequence: int) -> None:
    """Takes back the parts that follow one in its run and lane.

    There are some only where a bundle is tried again: the first attempt had cut its records into
    more parts, since a part is also written when its time is up. Without this, records that now
    lie in this part would lie in those as well.
    """
    later = sequence + 1
    while has_part_record(root, part_name(run, lane, later)):
        later += 1
    # The last one first, so that after a kill those that are left are found again.
    for withdrawn in range(later - 1, sequence, -1):
        delete_part_record(root, part_name(run, lane, withdrawn))


def of_round(output: Output, number: int) -> Output:
    """Returns where a round of a run writes: its parts have names of their own."""
    return replace(output, run=f"{output.run}-{number}")


def is_of_run(writer: str, run: str) -> bool:
    """Tells whether what wrote a part is a run, or a round of it."""
    return writer == run or writer.startswith(f"{run}-")


def part_name(run: str, lane: int, sequence: int) -> str:
    """Returns the name of a part, which is that of its commit record."""
    return f"part-{run}-{lane}-{sequence}"


def count_sources(
    row_sources: Iterable[str], letters: Sequence[DeadLetter], versions: Mapping[str, str]
) -> dict[str, PartSource]:
    """Returns what a part holds of each file of which it holds anything, in order of source.

    Args:
        row_sources: The file of each row.
        letters: Its dead letters.
        versions: The version of each file.
    """
    rows = Counter(row_sources)
    dead = Counter(letter.source for letter in letters if letter.ordinal is not None)
    failed = {letter.source for letter in letters if letter.ordinal is None}
    return {
        source: PartSource(versions[source], rows[source], dead[source], source in failed)
        for source in sorted(rows.keys() | dead.keys() | failed)
    }


def write_part(name: str, items: Sequence[Item], output: Output) -> list[Item]:
    """Writes and commits one part.

    Returns:
        For each file of which it holds records, how many it settles; and for each that has failed
        that it settles none.
    """
    content = collect(items)
    record = publish(name, content, *encode(content, output), output)
    if output.pt and record.embeddings:
        remember_rows(record.embeddings, content.proteins, content.vectors)
    events.emit(events.PartCommitted(name, len(content.proteins), len(content.dead_letters)))
    settled = [
        Settled(source, held.sha256, name, held.rows, held.dead_letters)
        for source, held in record.sources.items()
        if held.rows or held.dead_letters
    ]
    failed = [source for source, held in record.sources.items() if held.failed]
    return [*settled, *(Settled(source, "", name, 0, 0) for source in failed)]
