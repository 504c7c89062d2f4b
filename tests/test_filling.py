"""Tests of timers: of batches and parts, in a stream whose time is set by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.test_stream import TestStream
from apache_beam.transforms.window import FixedWindows, TimestampedValue

from tests.helpers import make_block, make_dead_letter, make_output, make_protein
from transforms.batching import BatchByTokens
from transforms.completion import CompleteFiles
from transforms.filling import WriteParts
from transforms.items import Batch, Item, ItemCoder, Protein
from transforms.output.commits import Output, read_commits
from transforms.output.committed import read_rows

WAIT = 2.0


class Clock:
    """The stream's processing time, as its elements tell it; found again by name in any copy."""

    now = 0.0

    def __call__(self) -> float:
        return Clock.now


def tell_time(item: Item) -> Item:
    """An item's ordinal is the second at which it arrives."""
    assert isinstance(item, Protein)
    Clock.now = float(item.ordinal)
    return item


class Note(beam.DoFn):
    """Writes what comes to a file: what a lambda captures is a copy."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def process(self, item: Item) -> None:
        told = [p.ordinal for p in item.proteins] if isinstance(item, Batch) else repr(item)
        with open(self._path, "a") as notes:
            notes.write(json.dumps(told) + "\n")


@pytest.fixture(autouse=True)
def _midnight() -> None:
    Clock.now = 0.0


def arriving(seconds: Iterable[int], late: int | None = None) -> TestStream:
    """A stream of one protein at each of some seconds, and one whose time has gone by already."""
    stream = TestStream(coder=ItemCoder()).advance_watermark_to(0)
    now = 0
    for second in seconds:
        stream = stream.advance_processing_time(second - now)
        now = second
        protein = make_protein(second)
        if second == late:
            stream = stream.advance_watermark_to(50).add_elements([TimestampedValue(protein, 3)])
        else:
            stream = stream.add_elements([TimestampedValue(protein, second)])
    return stream


def batches(tmp_path: Path, stream: TestStream, max_cost: int = 1000) -> list[list[int]]:
    """What the batcher makes of a stream."""
    notes = tmp_path / "notes"
    with beam.Pipeline(options=PipelineOptions(["--streaming"])) as pipeline:
        _ = (
            pipeline
            | stream
            | beam.Map(tell_time).with_output_types(Item)
            | BatchByTokens(max_cost, max_batch_wait=WAIT, clock=Clock())
            | beam.ParDo(Note(notes))
        )
    return [json.loads(line) for line in notes.read_text().splitlines()]


def test_a_partial_batch_waits_so_long_after_its_first_item(tmp_path: Path) -> None:
    stream = arriving([1, 2, 9]).advance_processing_time(20).advance_watermark_to_infinity()
    assert batches(tmp_path, stream) == [[1, 2], [9]]


def test_late_items_are_batched_too(tmp_path: Path) -> None:
    stream = arriving([1, 2, 9, 10], late=9).advance_processing_time(20)
    assert batches(tmp_path, stream.advance_watermark_to_infinity()) == [[1, 2], [9, 10]]


def test_a_jump_of_the_watermark_flushes_nothing_before_the_end(tmp_path: Path) -> None:
    stream = arriving([1]).advance_watermark_to(10**6).add_elements([make_protein(2)])
    assert batches(tmp_path, stream.advance_watermark_to_infinity()) == [[1, 2]]


def test_a_drain_flushes_what_waits_and_the_timer_finds_nothing(tmp_path: Path) -> None:
    stream = arriving([1, 2]).advance_watermark_to_infinity().advance_processing_time(20)
    assert batches(tmp_path, stream) == [[1, 2]]


def test_a_full_batch_leaves_its_timer_to_the_next_one(tmp_path: Path) -> None:
    stream = arriving([1, 2, 3]).advance_processing_time(20).advance_watermark_to_infinity()
    assert batches(tmp_path, stream, max_cost=16) == [[1, 2], [3]]


def to_block(item: Item) -> Item:
    assert isinstance(item, Protein)
    return make_block(item)


def write(output: Output, stream: TestStream) -> list[list[int]]:
    """Writes the parts of a stream; returns the records of each."""
    with beam.Pipeline(options=PipelineOptions(["--streaming"])) as pipeline:
        _ = (
            pipeline
            | stream
            | beam.Map(tell_time).with_output_types(Item)
            | beam.Map(to_block).with_output_types(Item)
            | WriteParts(output, max_batch_wait=WAIT, clock=Clock())
        )
    found = []
    for _, part in sorted(read_commits(output.root).parts.items()):
        rows = read_rows(output.root, part, "a.fa")
        found.append(rows.ordinals)
    return found


def test_a_small_part_is_written_so_long_after_its_first_record(tmp_path: Path) -> None:
    stream = arriving([1, 2, 9], late=9).advance_processing_time(20)
    stream = stream.advance_watermark_to_infinity()
    assert write(make_output(tmp_path), stream) == [[1, 2], [9]]


def test_a_drain_writes_what_waits_once(tmp_path: Path) -> None:
    stream = arriving([1, 2]).advance_watermark_to_infinity().advance_processing_time(20)
    assert write(make_output(tmp_path), stream) == [[1, 2]]


def test_without_a_wait_there_is_no_timer_and_the_local_runner_takes_it(output: Output) -> None:
    items = [make_block(make_protein(1)), make_dead_letter(2)]
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        _ = (
            pipeline
            | beam.Create(items, reshuffle=False).with_output_types(Item)
            | WriteParts(output)
        )
    (part,) = read_commits(output.root).parts.values()
    assert (part.sources["a.fa"].rows, part.sources["a.fa"].dead_letters) == (1, 1)


def test_windows_are_refused(output: Output) -> None:
    pipeline = beam.Pipeline(runner="FnApiRunner")
    items = pipeline | beam.Create([make_dead_letter(1)]).with_output_types(Item)
    windowed = items | beam.WindowInto(FixedWindows(60))
    for step in (WriteParts(output), CompleteFiles()):
        with pytest.raises(ValueError, match=f"{type(step).__name__} keeps one account"):
            _ = windowed | step
