"""When a part is full: the step that collects records and writes them as parts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
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

from transforms.commits import Output
from transforms.items import DeadLetter, EmbeddingBlock, Item, ItemCoder
from transforms.lanes import key_by_lane, record_address, timer_name
from transforms.parts import part_name, withdraw_later, write_part

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


def _make_dofn(step: WriteParts, timers: str) -> beam.DoFn:
    """Makes the stateful DoFn; its class is made here because its timers' names are arguments."""
    # Plain values, which travel to workers; the transform itself knows its pipeline.
    output, checkpoint_seconds, clock = step.output, step.checkpoint_seconds, step.clock
    max_batch_wait = step.max_batch_wait
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
                self.part_opened()
            held.add(item)
            records += weight(item)
            tally.write((records, opened, stamp, sequence))
            if is_full(records, clock() - opened, sequence, checkpoint_seconds):
                yield from self.write(lane, held, tally)

        def part_opened(self) -> None:
            """Called with the first record of each part."""

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

    if not max_batch_wait:
        return _WritePartsDoFn()

    # Declared only where it is wanted, as that of the batches.
    wait = TimerSpec(f"{timers}_max_wait", TimeDomain.REAL_TIME)

    class _WaitingWritePartsDoFn(_WritePartsDoFn):
        def process(
            self,
            element: tuple[int, Item],
            timestamp: Any = beam.DoFn.TimestampParam,
            window: Any = beam.DoFn.WindowParam,
            held: Any = beam.DoFn.StateParam(held_spec),
            tally: Any = beam.DoFn.StateParam(tally_spec),
            end: Any = beam.DoFn.TimerParam(window_end),
            waited: Any = beam.DoFn.TimerParam(wait),
        ) -> Iterator[Any]:
            self._waited = waited
            yield from super().process(element, timestamp, window, held, tally, end)

        def part_opened(self) -> None:
            self._waited.set(Timestamp.of(clock() + max_batch_wait))

        @on_timer(wait)  # type: ignore[untyped-decorator]
        def write_after_wait(
            self,
            lane: Any = beam.DoFn.KeyParam,
            held: Any = beam.DoFn.StateParam(held_spec),
            tally: Any = beam.DoFn.StateParam(tally_spec),
        ) -> Iterator[Any]:
            yield from self.write(lane, held, tally)

    return _WaitingWritePartsDoFn()


@dataclass
class WriteParts(beam.PTransform):  # type: ignore[misc]
    """Collects blocks and dead letters, writes them as parts and sends on what is settled.

    In come items of all kinds; out go a :class:`~transforms.items.Settled` for each file of each
    part, and every other kind as it came. A part is written at 4,096 records,
    ``checkpoint_seconds`` after the one before, at the end of the window, or, on engines with
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
        """Applies the step."""
        keyed = items | "Key by lane" >> key_by_lane(self.lanes, record_address)
        return keyed | "Fill parts" >> beam.ParDo(
            _make_dofn(self, timer_name(keyed, "part"))
        ).with_input_types(tuple[int, Item]).with_output_types(Item)
