"""Batches by token budget: Beam's BatchElements with a cost for each element.

Beam's stateful BatchElements counts elements and ignores their sizes; SortAndBatchElements ends
at the bundle. Proteins differ in length a hundredfold, so what a batch costs is its tokens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
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

from transforms import events
from transforms.errors import ConfigurationError
from transforms.items import Batch, DeadLetter, Item, ItemCoder, Protein
from transforms.lanes import key_by_lane, record_address, timer_name

MAX_BATCH_ITEMS = 4096
"""Bounds a batch of items that cost nothing."""

RESIDUES_PER_TOKEN = 1024
"""So many residues of a dead letter cost as much as a token: they take memory, but no model."""


@dataclass(frozen=True, slots=True)
class Fill:
    """What an open batch holds: tokens and items."""

    cost: int = 0
    count: int = 0


@dataclass(frozen=True, slots=True)
class TokenBudget:
    """The arithmetic of batching.

    A batch never costs more than the budget, unless it is a single element that alone costs
    more. Text-embeddings-inference's queue works by the same rule.

    Attributes:
        max_cost: Tokens of one batch.
        max_count: Items of one batch.
    """

    max_cost: int
    max_count: int = MAX_BATCH_ITEMS

    def __post_init__(self) -> None:
        if self.max_cost < 1 or self.max_count < 1:
            raise ConfigurationError("A token budget must be at least 1.")

    def cut(self, fill: Fill, costs: Iterable[int]) -> tuple[list[int], Fill]:
        """Cuts elements into batches.

        Into an empty batch any element may; a batch that is full is closed at once.

        Args:
            fill: What the open batch holds.
            costs: What the elements that follow cost.

        Returns:
            At which of them a batch ends, and what the open batch then holds.
        """
        ends: list[int] = []
        held, count = fill.cost, fill.count
        for position, cost in enumerate(costs):
            if count and held + cost > self.max_cost:
                ends.append(position)
                held = count = 0
            held, count = held + cost, count + 1
            if held >= self.max_cost or count >= self.max_count:
                ends.append(position + 1)
                held = count = 0
        return ends, Fill(held, count)


def token_cost(item: Item) -> int:
    """Returns what an item costs: a protein its residues, BOS and EOS; others ride along.

    Only a dead letter of a very long sequence costs something too, for the memory that it takes.
    """
    if isinstance(item, DeadLetter):
        return len(item.sequence or "") // RESIDUES_PER_TOKEN
    return item.tokens if isinstance(item, Protein) else 0


def _make_dofn(
    budget: TokenBudget,
    cost: Callable[[Item], int],
    max_batch_wait: float,
    clock: Callable[[], float],
    timers: str,
) -> beam.DoFn:
    """Makes the stateful DoFn; its class is made here because its timers' names are arguments."""
    window_end = TimerSpec(f"{timers}_window_end", TimeDomain.WATERMARK)
    held_spec = BagStateSpec("held", ItemCoder())
    fill_spec = ReadModifyWriteStateSpec("fill", FastPrimitivesCoder())

    def tell(tokens: int) -> None:
        if tokens:
            events.emit(events.BatchFilled(tokens, budget.max_cost))

    def flush(held: Any, fill: Any) -> Iterator[Any]:
        """Empties the state into one batch, stamped with the time of its first item."""
        opened, now = _read(fill)
        if now.count:
            fill.clear()
            tell(now.cost)
            yield _stamped(_take(held), opened)

    class _BatchDoFn(beam.DoFn):  # type: ignore[misc]
        def process(
            self,
            element: tuple[int, Item],
            timestamp: Any = beam.DoFn.TimestampParam,
            window: Any = beam.DoFn.WindowParam,
            held: Any = beam.DoFn.StateParam(held_spec),
            fill: Any = beam.DoFn.StateParam(fill_spec),
            end: Any = beam.DoFn.TimerParam(window_end),
        ) -> Iterator[Any]:
            _, item = element
            items = item.items if isinstance(item, Batch) else (item,)
            opened, before = _read(fill)
            costs = [cost(item) for item in items]
            ends, now = budget.cut(before, costs)
            is_open = before.count > 0
            for start, stop in pairwise([0, *ends]):
                tell(before.cost * is_open + sum(costs[start:stop]))
                if is_open:
                    yield _stamped((*_take(held), *items[:stop]), opened)
                else:
                    yield _stamped(items[start:stop], timestamp.micros)
                is_open = False
            if now.count == 0:
                fill.clear()
                return
            if not is_open:
                opened = timestamp.micros
                end.set(window.end)
                self.batch_opened()
            # As one element, which costs a runner less than one for each item.
            held.add(Batch(items[ends[-1] :] if ends else items))
            fill.write((opened, now.cost, now.count))

        def batch_opened(self) -> None:
            """Called with the first item of each batch."""

        @on_timer(window_end)  # type: ignore[untyped-decorator]
        def flush_at_window_end(
            self,
            held: Any = beam.DoFn.StateParam(held_spec),
            fill: Any = beam.DoFn.StateParam(fill_spec),
        ) -> Iterator[Any]:
            yield from flush(held, fill)

    if not max_batch_wait:
        return _BatchDoFn()

    # A REAL_TIME timer is declared only where it is wanted: it keeps a pipeline off FnApiRunner.
    wait = TimerSpec(f"{timers}_max_wait", TimeDomain.REAL_TIME)

    class _WaitingBatchDoFn(_BatchDoFn):
        def process(
            self,
            element: tuple[int, Item],
            timestamp: Any = beam.DoFn.TimestampParam,
            window: Any = beam.DoFn.WindowParam,
            held: Any = beam.DoFn.StateParam(held_spec),
            fill: Any = beam.DoFn.StateParam(fill_spec),
            end: Any = beam.DoFn.TimerParam(window_end),
            waited: Any = beam.DoFn.TimerParam(wait),
        ) -> Iterator[Any]:
            self._waited = waited
            yield from super().process(element, timestamp, window, held, fill, end)

        def batch_opened(self) -> None:
            self._waited.set(Timestamp.of(clock() + max_batch_wait))

        @on_timer(wait)  # type: ignore[untyped-decorator]
        def flush_after_wait(
            self,
            held: Any = beam.DoFn.StateParam(held_spec),
            fill: Any = beam.DoFn.StateParam(fill_spec),
        ) -> Iterator[Any]:
            yield from flush(held, fill)

    return _WaitingBatchDoFn()


def _read(fill: Any) -> tuple[int, Fill]:
    opened, cost, count = fill.read() or (0, 0, 0)
    return opened, Fill(cost, count)


def _take(held: Any) -> list[Item]:
    """Takes all items out of the state."""
    items = [item for batch in held.read() for item in batch.items]
    held.clear()
    return items


def _stamped(items: Iterable[Item], micros: int) -> TimestampedValue:
    return TimestampedValue(Batch(tuple(items)), Timestamp(micros=micros))


@dataclass
class BatchByTokens(beam.PTransform):  # type: ignore[misc]
    """Groups items into batches of at most ``max_cost`` tokens, in order of arrival.

    Items that come together in a batch are taken as if each came alone.

    No item is lost, none comes twice, and within a lane order is kept. A batch is sent on when
    the next item would exceed the budget, at the end of the window, and, on engines with
    processing time, ``max_batch_wait`` seconds after its first item. May be applied any number
    of times in one pipeline.

    Attributes:
        max_cost: Tokens of one batch; an item that alone costs more is a batch of its own.
        max_count: Items of one batch.
        cost: Tokens of an item.
        lanes: Number of keys; 1 on a local run.
        max_batch_wait: Seconds after which a partial batch is sent on; 0 for never, which is
            all that FnApiRunner can do.
        clock: Seconds since the epoch; replaced by tests.
    """

    max_cost: int
    max_count: int = MAX_BATCH_ITEMS
    cost: Callable[[Item], int] = token_cost
    lanes: int = 1
    max_batch_wait: float = 0.0
    clock: Callable[[], float] = time.time

    def expand(self, items: beam.PCollection[Item]) -> beam.PCollection[Item]:
        """Applies the step."""
        keyed = items | "Key by lane" >> key_by_lane(self.lanes, record_address)
        dofn = _make_dofn(
            TokenBudget(self.max_cost, self.max_count),
            self.cost,
            self.max_batch_wait,
            self.clock,
            timer_name(keyed, "batch"),
        )
        return keyed | "Fill batches" >> beam.ParDo(dofn).with_input_types(
            tuple[int, Item]
        ).with_output_types(Item)
