"""Items that wait in the state of a step until there are enough of them, or time is up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import apache_beam as beam
from apache_beam.coders import FastPrimitivesCoder
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import (
    BagStateSpec,
    ReadModifyWriteStateSpec,
    TimerSpec,
    on_timer,
)
from apache_beam.utils.timestamp import Timestamp

from transforms.items import Item, ItemCoder

_HELD = BagStateSpec("held", ItemCoder())
_TALLY = ReadModifyWriteStateSpec("tally", FastPrimitivesCoder())


class Keeper(Protocol):
    """What holds items of each lane, in two states: the items, and a tuple of plain values."""

    def take(
        self, lane: int, item: Item, micros: int, held: Any, tally: Any, begin: Callable[[], None]
    ) -> Iterator[Any]:
        """Yields what an item leads to.

        Args:
            lane: Its lane.
            item: The item.
            micros: Its timestamp in microseconds.
            held: The state of items.
            tally: The state of plain values.
            begin: To be called when the first item is held.
        """

    def flush(self, lane: int, held: Any, tally: Any) -> Iterator[Any]:
        """Yields what the items that are held lead to, and holds none any more."""


def make_waiting(
    keeper: Keeper, timers: str, max_wait: float = 0.0, clock: Callable[[], float] = time.time
) -> beam.DoFn:
    """Makes the stateful DoFn; its class is made here because its timers' names are arguments.

    Args:
        keeper: What holds the items. They are flushed at the end of the window.
        timers: How the names of its timers begin; no other step may have the same.
        max_wait: Seconds after which they are flushed too; 0 for never.
        clock: Seconds since the epoch; replaced by tests.
    """
    window_end = TimerSpec(f"{timers}_window_end", TimeDomain.WATERMARK)
    wait = TimerSpec(f"{timers}_max_wait", TimeDomain.REAL_TIME)
    # Declared only where it is wanted: a REAL_TIME timer keeps a pipeline off FnApiRunner.
    waiting = beam.DoFn.TimerParam(wait) if max_wait else None

    class _Waiting(beam.DoFn):  # type: ignore[misc]
        def process(
            self,
            element: tuple[int, Item],
            timestamp: Any = beam.DoFn.TimestampParam,
            window: Any = beam.DoFn.WindowParam,
            held: Any = beam.DoFn.StateParam(_HELD),
            tally: Any = beam.DoFn.StateParam(_TALLY),
            end: Any = beam.DoFn.TimerParam(window_end),
            waited: Any = waiting,
        ) -> Iterator[Any]:
            def begin() -> None:
                end.set(window.end)
                if waited is not None:
                    waited.set(Timestamp.of(clock() + max_wait))

            return keeper.take(*element, timestamp.micros, held, tally, begin)

        @on_timer(window_end)  # type: ignore[untyped-decorator]
        @on_timer(wait)  # type: ignore[untyped-decorator]
        def flush(
            self,
            lane: Any = beam.DoFn.KeyParam,
            held: Any = beam.DoFn.StateParam(_HELD),
            tally: Any = beam.DoFn.StateParam(_TALLY),
        ) -> Iterator[Any]:
            return keeper.flush(lane, held, tally)

    return _Waiting()
