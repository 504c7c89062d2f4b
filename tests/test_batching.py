from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.internal import pickler
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.periodicsequence import PeriodicImpulse
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers import make_protein
from tests.processes import ON_PRISM, needs_prism
from transforms import events
from transforms.batching import BatchByTokens, BatchKeeper, Fill, TokenBudget, token_cost
from transforms.errors import ConfigurationError
from transforms.items import Batch, EndOfFile, Item, ItemCoder, Protein
from transforms.waiting import make_waiting

COSTS = st.lists(st.integers(0, 40), max_size=60)


def cut_batches(
    budget: TokenBudget, costs: Sequence[int], cuts: Iterable[int] = ()
) -> list[list[int]]:
    """The rule of the transform, with nothing of Beam in it, for costs that come in pieces."""
    ends: list[int] = []
    fill = Fill()
    for start, stop in pieces(len(costs), cuts):
        here, fill = budget.cut(fill, costs[start:stop])
        ends += [start + end for end in here]
    assert fill.count == len(costs) - (ends[-1] if ends else 0)
    return [list(costs[start:stop]) for start, stop in pairwise([0, *ends, len(costs)])]


def pieces(size: int, cuts: Iterable[int]) -> Iterable[tuple[int, int]]:
    return pairwise(sorted({0, size, *(cut % (size + 1) for cut in cuts)}))


@given(COSTS, st.integers(1, 50), st.integers(1, 10))
def test_a_budget_loses_nothing_and_is_exceeded_by_singles_alone(
    costs: list[int], max_cost: int, max_count: int
) -> None:
    batches = cut_batches(TokenBudget(max_cost, max_count), costs)
    assert [cost for batch in batches for cost in batch] == costs
    for batch in batches:
        assert len(batch) <= max_count
        assert sum(batch) <= max_cost or len(batch) == 1


@given(COSTS, st.integers(1, 50))
def test_batches_are_as_large_as_the_budget_allows(costs: list[int], max_cost: int) -> None:
    for batch, following in pairwise(filter(None, cut_batches(TokenBudget(max_cost), costs))):
        assert sum(batch) == max_cost or sum(batch) + following[0] > max_cost


@given(COSTS, st.lists(st.integers(0, 60), max_size=6), st.integers(1, 50), st.integers(1, 10))
def test_it_is_all_one_in_what_pieces_elements_come(
    costs: list[int], cuts: list[int], max_cost: int, max_count: int
) -> None:
    budget = TokenBudget(max_cost, max_count)
    assert cut_batches(budget, costs, cuts) == cut_batches(budget, costs)


@pytest.mark.parametrize(("max_cost", "max_count"), [(0, 1), (1, 0), (-5, 1)])
def test_a_budget_of_nothing_is_refused(max_cost: int, max_count: int) -> None:
    with pytest.raises(ConfigurationError):
        TokenBudget(max_cost, max_count)


class FakeState:
    """State as a runner keeps it: encoded, and shared by all bundles of a key."""

    def __init__(self) -> None:
        self._encoded: list[bytes] = []
        self._value: Any = None

    def add(self, item: Item) -> None:
        self._encoded.append(ItemCoder().encode(item))

    def write(self, value: Any) -> None:
        self._value = value

    def read(self) -> Any:
        return [ItemCoder().decode(each) for each in self._encoded] or self._value

    def clear(self) -> None:
        self._encoded, self._value = [], None


class FakeTimer:
    def __init__(self) -> None:
        self.time: Any = None

    def set(self, time: Any) -> None:
        self.time = time


def run_dofn(
    items: Sequence[Item], cuts: Sequence[int], budget: TokenBudget, together: bool
) -> list[Any]:
    """Drives the DoFn as a runner does, with a new instance for each bundle.

    The time of an element is the position of its first item.

    Args:
        items: What comes.
        cuts: Where bundles end.
        budget: Of a batch.
        together: Whether the items of a bundle are one element.
    """
    held, fill, end = FakeState(), FakeState(), FakeTimer()
    made = make_waiting(BatchKeeper(budget, token_cost), "test")
    out: list[Any] = []
    for start, stop in pieces(len(items), cuts):
        dofn = pickler.roundtrip(made)
        bundle = list(enumerate(items[start:stop], start))
        if together:
            bundle = [(start, Batch(tuple(items[start:stop])))]
        for second, item in bundle:
            out += dofn.process((0, item), Timestamp(second), GlobalWindow(), held, fill, end)
    if end.time is not None:
        out += pickler.roundtrip(made).flush(0, held, fill)
    return out


@given(
    COSTS,
    st.lists(st.integers(0, 60), max_size=6),
    st.integers(3, 50),
    st.integers(1, 10),
    st.booleans(),
)
@settings(deadline=None, max_examples=120)
def test_the_transform_keeps_every_item_in_order_however_bundles_are_cut(
    costs: list[int], cuts: list[int], max_cost: int, max_count: int, together: bool
) -> None:
    items: list[Item] = [
        make_protein(ordinal=i, sequence="M" * (cost - 2))
        if cost > 2
        else EndOfFile("a.faa", "f", "u", 1, 1.0, i, 0)
        for i, cost in enumerate(costs)
    ]
    told: list[events.Event] = []
    with events.listening(told.append):
        out = run_dofn(items, cuts, TokenBudget(max_cost, max_count), together)
    batches = [stamped.value for stamped in out]
    assert [item for batch in batches for item in batch.items] == items
    expected = cut_batches(TokenBudget(max_cost, max_count), list(map(token_cost, items)))
    actual = [[token_cost(item) for item in batch.items] for batch in batches]
    assert actual == list(filter(None, expected))
    assert told == [events.BatchFilled(cost, max_cost) for cost in map(sum, actual) if cost]
    starts = [start for start, _ in pieces(len(items), cuts)] if together else range(len(items))
    first = 0
    for stamped in out:
        assert stamped.timestamp == Timestamp(max(start for start in starts if start <= first))
        first += len(stamped.value.items)


def test_a_waiting_batch_asks_to_be_woken_once_and_is_then_sent_on() -> None:
    held, fill, end, waited = FakeState(), FakeState(), FakeTimer(), FakeTimer()
    keeper = BatchKeeper(TokenBudget(100), token_cost)
    dofn = pickler.roundtrip(make_waiting(keeper, "test", max_wait=5.0))
    woken = []
    for ordinal in range(3):
        item = (0, make_protein(ordinal=ordinal))
        assert not list(dofn.process(item, Timestamp(1), GlobalWindow(), held, fill, end, waited))
        woken.append(waited.time)
    assert woken[0] is not None
    assert woken == [woken[0]] * 3
    assert end.time == GlobalWindow().end
    (sent,) = dofn.flush(0, held, fill)
    assert [protein.ordinal for protein in sent.value.proteins] == [0, 1, 2]
    assert not list(dofn.flush(0, held, fill))


class Note(beam.DoFn):
    """Counts by a file: what a lambda captures is a copy."""

    def __init__(self, path: str) -> None:
        self._path = path

    def process(self, batch: Batch) -> None:
        with open(self._path, "a") as notes:
            notes.write(f"{len(batch)}\n")


def at(second: float) -> Protein:
    return make_protein(ordinal=int(second * 1000))


@pytest.mark.slow
@needs_prism
def test_partial_batches_are_sent_on_while_a_stream_goes_on(tmp_path: Path) -> None:
    start, notes = time.time(), tmp_path / "notes"
    with beam.Pipeline(options=PipelineOptions([*ON_PRISM, "--streaming"])) as pipeline:
        (
            pipeline
            | PeriodicImpulse(start, start + 4, 0.25)
            | beam.Map(at).with_output_types(Item)
            | BatchByTokens(10**6, max_batch_wait=0.5)
            | beam.ParDo(Note(str(notes)))
        )
    counts = [int(line) for line in notes.read_text().split()]
    assert sum(counts) == 16
    # The end of the window, which alone would send one batch, comes after the stream.
    assert len(counts) > 1


def unbatch(batch: Item) -> Iterable[Item]:
    assert isinstance(batch, Batch)
    return batch.items


def proteins(count: int) -> list[Item]:
    return [make_protein(ordinal=i, sequence="M" * (1 + i % 97)) for i in range(count)]


def ordinals(batch: Item) -> list[int]:
    assert isinstance(batch, Batch)
    return [protein.ordinal for protein in batch.proteins]


def create(pipeline: beam.Pipeline, items: Sequence[Item]) -> beam.PCollection[Item]:
    return pipeline | beam.Create(items).with_output_types(Item)


def test_applied_twice_side_by_side_each_copy_sends_on_every_item() -> None:
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        items = create(pipeline, proteins(1000))
        for name in ("one", "other"):
            out = items | name >> BatchByTokens(500) | f"{name} ordinals" >> beam.FlatMap(ordinals)
            assert_that(out, equal_to(list(range(1000))), label=f"every item of {name}")


def test_applied_twice_one_after_the_other_every_item_comes_out() -> None:
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        out = (
            create(pipeline, proteins(1000))
            | "Once" >> BatchByTokens(500)
            | "Unbatch" >> beam.FlatMap(unbatch).with_output_types(Item)
            | "Twice" >> BatchByTokens(300)
            | beam.FlatMap(ordinals)
        )
        assert_that(out, equal_to(list(range(1000))))


@pytest.mark.parametrize("lanes", [1, 7])
def test_order_is_kept_within_a_lane(lanes: int) -> None:
    def check(batches: list[Item]) -> None:
        assert sum(map(len, batches)) == 500
        for batch in batches:
            assert ordinals(batch) == sorted(ordinals(batch))

    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        out = create(pipeline, proteins(500)) | BatchByTokens(400, lanes=lanes)
        assert_that(out, check)
