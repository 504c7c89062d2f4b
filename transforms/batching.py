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
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from transforms import events
from transforms.errors import ConfigurationError
from transforms.items import Batch, DeadLetter, Item, Protein
from transforms.lanes import key_by_lane, record_address, timer_name
from transforms.waiting import make_waiting

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
            raise ConfigurationError(
                f"A batch of {self.max_cost:,} tokens and {self.max_count:,} items holds nothing: "
                "give --toks_per_batch, or max_cost and max_count, a number of at least 1."
            )

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


@dataclass(frozen=True, slots=True)
class BatchKeeper:
    """Holds the open batch of each lane: a :class:`~transforms.waiting.Keeper`.

    Its tally is the timestamp of the batch's first item in microseconds, and its :class:`Fill`.

    Attributes:
        budget: When a batch is full.
        cost: Returns the tokens of an item.
    """

    budget: TokenBudget
    cost: Callable[[Item], int]

    def take(
        self, lane: int, item: Item, micros: int, held: Any, tally: Any, begin: Callable[[], None]
    ) -> Iterator[Any]:
        """Yields the batches that an item fills; each has the timestamp of its first one."""
        items = item.items if isinstance(item, Batch) else (item,)
        opened, before = _read(tally)
        costs = [self.cost(item) for item in items]
        ends, now = self.budget.cut(before, costs)
        is_open = before.count > 0
        for start, stop in pairwise([0, *ends]):
            self._tell(before.cost * is_open + sum(costs[start:stop]))
            if is_open:
                yield _stamped((*_take(held), *items[:stop]), opened)
            else:
                yield _stamped(items[start:stop], micros)
            is_open = False
        if now.count == 0:
            tally.clear()
            return
        if not is_open:
            opened = micros
            begin()
        # As one element, which costs a runner less than one for each item.
        held.add(Batch(items[ends[-1] :] if ends else items))
        tally.write((opened, now.cost, now.count))

    def flush(self, lane: int, held: Any, tally: Any) -> Iterator[Any]:
        """Yields the open batch, unless there is none."""
        opened, now = _read(tally)
        if now.count:
            tally.clear()
            self._tell(now.cost)
            yield _stamped(_take(held), opened)

    def _tell(self, tokens: int) -> None:
        if tokens:
            events.emit(events.BatchFilled(tokens, self.budget.max_cost))


def _read(tally: Any) -> tuple[int, Fill]:
    opened, cost, count = tally.read() or (0, 0, 0)
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
        keeper = BatchKeeper(TokenBudget(self.max_cost, self.max_count), self.cost)
        timers = timer_name(keyed, "batch")
        dofn = make_waiting(keeper, timers, self.max_batch_wait, self.clock)
        return keyed | "Fill batches" >> beam.ParDo(dofn).with_input_types(
            tuple[int, Item]
        ).with_output_types(Item)
