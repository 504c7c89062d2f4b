"""Parts: what is committed at one time.

A part is a Parquet file of its rows, a JSON Lines file of its dead letters and, written last, a
commit record that names both: it counts only with that record. A part's name is its run, lane and
sequence number; its data files add their digest. The sequence number lives in the state of the
step, so a bundle that is tried again replaces its own commit records and never adds to them; the
run is drawn anew at every start, so no other run's part is ever replaced.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.coders import FastPrimitivesCoder
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import (
    BagStateSpec,
    ReadModifyWriteStateSpec,
    TimerSpec,
    on_timer,
)
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from transforms import events, storage
from transforms.commits import (
    DEAD_LETTERS,
    EMBEDDINGS,
    Output,
    PartRecord,
    PartSource,
    delete_part_record,
    has_part_record,
    write_part_record,
)
from transforms.committed import remember_rows
from transforms.dead_letters import address, encode_dead_letters, now
from transforms.items import DeadLetter, EmbeddingBlock, Item, ItemCoder, Protein, Settled
from transforms.lanes import key_by_lane, record_address, timer_name
from transforms.locks import check_held
from transforms.parquet import Vectors, encode_rows

PART_RECORDS = 4096
"""Records of a part, which is one Parquet row group of about 19 MiB at 1280 dimensions."""

RESIDUES_PER_RECORD = 8192
"""A record counts as one more for each of these: a part holds 32 million residues at the most."""

FIRST_PART_RECORDS = 64
"""Records of a run's first part: a proof of life. Each further part may be four times larger."""

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
    order = sorted(range(len(proteins)), key=lambda i: (proteins[i].source, proteins[i].ordinal))
    return PartContent(tuple(proteins[i] for i in order), vectors[order], tuple(dead))


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
    record = PartRecord(
        part=name,
        run=output.run,
        embeddings=publish_data(output.root, EMBEDDINGS, name, rows),
        dead_letters=publish_data(output.root, DEAD_LETTERS, name, dead),
        # Exact enough to tell the later of two parts of quick runs.
        time=now("microseconds"),
        sources=_count_sources(content),
    )
    if output.lock:  # a run that was suspended may have been taken for dead
        check_held(output.root, output.lock)
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


def part_name(run: str, lane: int, sequence: int) -> str:
    """Returns the name of a part, which is that of its commit record."""
    return f"part-{run}-{lane}-{sequence}"


def _count_sources(content: PartContent) -> dict[str, PartSource]:
    rows = Counter(protein.source for protein in content.proteins)
    dead = Counter(letter.source for letter in content.dead_letters if letter.ordinal is not None)
    failed = {letter.source for letter in content.dead_letters if letter.ordinal is None}
    items: tuple[Protein | DeadLetter, ...] = (*content.dead_letters, *content.proteins)
    versions = {item.source: item.file_sha256 for item in items}
    return {
        source: PartSource(versions[source], rows[source], dead[source], source in failed)
        for source in sorted(versions)
    }


def write_part(name: str, items: Sequence[Item], output: Output) -> list[Item]:
    """Writes and commits one part.

    Returns:
        For each file of which it holds records, how many it settles.
    """
    content = collect(items)
    record = publish(name, content, *encode(content, output), output)
    if output.pt and record.embeddings:
        remember_rows(record.embeddings, content.proteins, content.vectors)
    events.emit(events.PartCommitted(name, len(content.proteins), len(content.dead_letters)))
    return [
        Settled(source, held.sha256, record.part, held.rows, held.dead_letters)
        for source, held in record.sources.items()
        if held.rows or held.dead_letters
    ]


def weight(item: EmbeddingBlock | DeadLetter) -> int:
    """Returns how many records an item counts as: long ones as several, as they lie in memory."""
    records = item.proteins if isinstance(item, EmbeddingBlock) else (item,)
    return sum(1 + len(record.sequence or "") // RESIDUES_PER_RECORD for record in records)


def is_full(records: int, seconds: float, sequence: int, checkpoint_seconds: float) -> bool:
    """Tells whether a part is to be written.

    Args:
        records: Rows and dead letters collected.
        seconds: Time since the part before, of which the first has none: since its first record.
        sequence: Number of the part in its run and lane, from 0.
        checkpoint_seconds: Work that a crash may cost at the most.
    """
    limit = min(PART_RECORDS, FIRST_PART_RECORDS << min(2 * sequence, 16))
    return records >= limit or seconds >= checkpoint_seconds


def _make_dofn(
    output: Output, checkpoint_seconds: float, clock: Callable[[], float], timers: str
) -> beam.DoFn:
    """Makes the stateful DoFn; its class is made here because its timer's name is an argument."""
    window_end = TimerSpec(f"{timers}_window_end", TimeDomain.WATERMARK)
    held_spec = BagStateSpec("held", ItemCoder())
    # (records, clock at the part before, timestamp of the first in microseconds, sequence number)
    tally_spec = ReadModifyWriteStateSpec("tally", FastPrimitivesCoder())

    class _WritePartsDoFn(beam.DoFn):  # type: ignore[misc]
        def process(
            self,
            element: tuple[int, Item],
            timestamp: Any = beam.DoFn.TimestampParam,
            window: Any = beam.DoFn.WindowParam,
            held: Any = beam.DoFn.StateParam(held_spec),
            tally: Any = beam.DoFn.StateParam(tally_spec),
            end: Any = beam.DoFn.TimerParam(window_end),
        ) -> Iterator[Any]:
            lane, item = element
            if not isinstance(item, EmbeddingBlock | DeadLetter):
                yield item
                return
            records, opened, stamp, sequence = tally.read() or (0, 0.0, 0, 0)
            if records == 0:
                opened, stamp = opened or clock(), timestamp.micros
                end.set(window.end)
            held.add(item)
            records += weight(item)
            tally.write((records, opened, stamp, sequence))
            if is_full(records, clock() - opened, sequence, checkpoint_seconds):
                yield from self.write(lane, held, tally)

        @on_timer(window_end)  # type: ignore[untyped-decorator]
        def write_at_window_end(
            self,
            lane: Any = beam.DoFn.KeyParam,
            held: Any = beam.DoFn.StateParam(held_spec),
            tally: Any = beam.DoFn.StateParam(tally_spec),
        ) -> Iterator[Any]:
            yield from self.write(lane, held, tally)

        def write(self, lane: int, held: Any, tally: Any) -> Iterator[Any]:
            records, _, stamp, sequence = tally.read() or (0, 0.0, 0, 0)
            if records == 0:
                return
            withdraw_later(output.root, output.run, lane, sequence)
            name = part_name(output.run, lane, sequence)
            settled = write_part(name, list(held.read()), output)
            held.clear()
            # The work for the next part begins here, long before its first block arrives.
            tally.write((0, clock(), 0, sequence + 1))
            for item in settled:
                yield TimestampedValue(item, Timestamp(micros=stamp))

    return _WritePartsDoFn()


@dataclass
class WriteParts(beam.PTransform):  # type: ignore[misc]
    """Collects blocks and dead letters, writes them as parts and sends on what is settled.

    In come items of all kinds; out go a :class:`Settled` for each file of each part, and every
    other kind as it came. A part is written at 4,096 records, ``checkpoint_seconds`` after the
    one before, or at the end of the window; the first parts of a run are smaller.

    Attributes:
        output: Where to write.
        checkpoint_seconds: Work that a crash may cost at the most.
        lanes: Number of keys; 1 on a local run.
        clock: Seconds; replaced by tests.
    """

    output: Output
    checkpoint_seconds: float = 60.0
    lanes: int = 1
    clock: Callable[[], float] = time.time

    def expand(self, items: beam.PCollection[Item]) -> beam.PCollection[Item]:
        """Applies the step."""
        keyed = items | "Key by lane" >> key_by_lane(self.lanes, record_address)
        dofn = _make_dofn(
            self.output, self.checkpoint_seconds, self.clock, timer_name(keyed, "part")
        )
        return keyed | "Fill parts" >> beam.ParDo(dofn).with_input_types(
            tuple[int, Item]
        ).with_output_types(Item)
