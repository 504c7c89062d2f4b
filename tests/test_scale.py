"""Tests that the simulation of scale does what the pipeline does."""

from __future__ import annotations

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from benchmarks.commands import scale
from benchmarks.commands.scale import Plan
from benchmarks.wire import NAME, Weights, weigh
from tests.helpers import make_protein
from transforms.batching import BatchByTokens, TokenBudget
from transforms.inputs import reading
from transforms.items import Batch, Item, Protein

WEIGHTS = Weights(read=280, embedded=270, vector=5120, settled=120, commit=360)


def ordinals_of(batch: Item) -> tuple[int, ...]:
    assert isinstance(batch, Batch)
    return tuple(item.ordinal for item in batch.items if isinstance(item, Protein))


def test_batches_are_those_of_the_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BATCH_ITEMS", 8)
    monkeypatch.setattr(scale, "BATCH_ITEMS", 8)
    lengths = scale.draw_lengths(300, seed=1, source=None)
    proteins = [make_protein(n, NAME, sequence="M" * length) for n, length in enumerate(lengths)]
    expected = [
        tuple(batch.tolist())
        for reads in scale.share_out(scale.cut_reads(lengths), lanes=3)
        for batch in scale.fill_batches(reads, lengths + 2, TokenBudget(5000))
    ]
    assert len(expected) > 9
    with beam.Pipeline("FnApiRunner") as pipeline:
        read = beam.Create(list(reading.in_batches(iter(proteins))), reshuffle=False)
        batches = pipeline | read.with_output_types(Item) | BatchByTokens(5000, lanes=3)
        assert_that(batches | beam.Map(ordinals_of), equal_to(expected))


def test_no_record_is_lost_on_the_way() -> None:
    lengths = scale.draw_lengths(5000, source=None)
    found = scale.simulate(lengths, Plan(lanes=4, pass_tokens=2048), WEIGHTS)
    assert found["tokens"] == sum(found["lane_tokens"])
    assert found["parts"] * found["rows_per_part"] == pytest.approx(5000)
    assert found["batches"] * found["records_per_batch"] == pytest.approx(5000)
    assert 0.5 < found["batch_fill"] <= 1
    assert 0 <= found["padding"] < 0.2
    assert found["lane_imbalance"] >= 1


def test_a_slow_run_has_smaller_parts() -> None:
    lengths = scale.draw_lengths(5000, source=None)
    parts = [
        scale.simulate(lengths, Plan(1, 512, 60.0, speed), WEIGHTS)["parts"]
        for speed in (None, 1e9, 1e3)
    ]
    assert parts[0] == parts[1] < parts[2]


def test_a_record_weighs_what_it_takes_on_the_wire() -> None:
    weights = weigh(["MKT" * 30, "AC" * 50] * 20)
    assert weights.vector == 5120
    assert 200 < weights.embedded < weights.read < 400
    assert weights.settled > 64
    assert weights.commit > 300


def test_the_table_has_a_column_for_each_number_of_lanes() -> None:
    lengths = scale.draw_lengths(500, source=None)
    results = [scale.simulate(lengths, Plan(lanes, 2048), WEIGHTS) for lanes in (1, 2)]
    lines = scale.format_table(results, [2]).splitlines()
    assert {line.count("|") for line in lines} == {4}
    assert lines[-1].startswith("| busiest of 2 workers to the mean | 2.00 |")
