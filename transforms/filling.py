"""When a part is full: the step that collects records and writes them as parts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from transforms.items import DeadLetter, EmbeddingBlock, Item
from transforms.lanes import check_window, key_by_lane, record_address, timer_name
from transforms.output.commits import Output
from transforms.output.parts import part_name, withdraw_later, write_part
from transforms.waiting import make_waiting

PART_RECORDS = 4096
"""Records of a part, which is one Parquet row group of about 19 MiB at 1280 dimensions."""

RESIDUES_PER_RECORD = 8192
"""A record counts as one more for each of these: a part holds 32 million residues at the most."""

FIRST_PART_RECORDS = 64
"""Records of a run's first part: a proof of life. Each further part may be four times larger."""


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


@dataclass(frozen=True, slots=True)
class PartKeeper:
    """Holds the records of each lane's next part: a :class:`~transforms.waiting.Keeper`.

    Its tally is the number of records, the clock at the part before, the timestamp of the first
    record in microseconds, and the number of the part in its run and lane.

    Attributes:
        output: Where to write.
        checkpoint_seconds: Work that a crash may cost at the most.
        clock: Seconds since the epoch; replaced by tests.
    """

    output: Output
    checkpoint_seconds: float
    clock: Callable[[], float]

    def take(
        self, lane: int, item: Item, micros: int, held: Any, tally: Any, begin: Callable[[], None]
    ) -> Iterator[Any]:
        """Yields what is settled by the part that a record fills; other items as they came."""
        if not isinstance(item, EmbeddingBlock | DeadLetter):
            yield item
            return
        records, opened, stamp, sequence = _read(tally)
        if records == 0:
            opened, stamp = opened or self.clock(), micros
            begin()
        held.add(item)
        records += weight(item)
        tally.write((records, opened, stamp, sequence))
        if is_full(records, self.clock() - opened, sequence, self.checkpoint_seconds):
            yield from self.flush(lane, held, tally)

    def flush(self, lane: int, held: Any, tally: Any) -> Iterator[Any]:
        """Writes a part, unless no record is held, and yields what it settles."""
        records, _, stamp, sequence = _read(tally)
        if records == 0:
            return
        withdraw_later(self.output.root, self.output.run, lane, sequence)
        name = part_name(self.output.run, lane, sequence)
        settled = write_part(name, list(held.read()), self.output)
        held.clear()
        # The work for the next part begins here, long before its first block arrives.
        tally.write((0, self.clock(), 0, sequence + 1))
        for item in settled:
            yield TimestampedValue(item, Timestamp(micros=stamp))


def _read(tally: Any) -> tuple[int, float, int, int]:
    return tally.read() or (0, 0.0, 0, 0)


@dataclass
class WriteParts(beam.PTransform):  # type: ignore[misc]
    """Collects blocks and dead letters, writes them as parts and sends on what is settled.

    In come items of all kinds; out go a :class:`~transforms.items.Settled` for each file of each
    part, and every other kind as it came. A part is written at 4,096 records,
    ``checkpoint_seconds`` after the one before, at the end of the data, or, on engines with
    processing time, ``max_batch_wait`` seconds after its first record; the first parts of a run
    are smaller.

    Attributes:
        output: Where to write.
        checkpoint_seconds: Work that a crash may cost at the most.
        lanes: Number of keys; 1 on a local run.
        max_batch_wait: Seconds after which a part is written however small it is; 0 for never,
            which is all that FnApiRunner can do.
        clock: Seconds since the epoch; replaced by tests.
    """

    output: Output
    checkpoint_seconds: float = 60.0
    lanes: int = 1
    max_batch_wait: float = 0.0
    clock: Callable[[], float] = time.time

    def expand(self, items: beam.PCollection[Item]) -> beam.PCollection[Item]:
        """Applies the step.

        Raises:
            ValueError: The items lie in windows: what a part is called knows nothing of them.
        """
        check_window(items, "WriteParts")
        keyed = items | "Key by lane" >> key_by_lane(self.lanes, record_address)
        keeper = PartKeeper(self.output, self.checkpoint_seconds, self.clock)
        timers = timer_name(keyed, "part")
        dofn = make_waiting(keeper, timers, self.max_batch_wait, self.clock)
        return keyed | "Fill parts" >> beam.ParDo(dofn).with_input_types(
            tuple[int, Item]
        ).with_output_types(Item)
