"""Tests of the numbers that a cluster's own monitoring shows."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import apache_beam as beam
import pytest

from pipeline.runners import run_graph
from transforms import events


class Embed(beam.DoFn):
    """Says what steps say, where they say it."""

    def setup(self) -> None:
        events.emit(events.ModelLoaded("demo", "cpu", "float32", "padded", 0.5))

    def process(self, element: int) -> Iterator[int]:
        run = events.PassComputed(sequences=1, tokens=8, slots=10, seconds=0.25)
        thread = threading.Thread(target=events.emit, args=(run,))
        thread.start()
        thread.join()
        events.emit(events.RecordsEmbedded(1, element))
        events.emit(events.BatchFilled(element, 20))
        yield element

    def finish_bundle(self) -> None:
        events.emit(events.FileFinished("a.fa", 1, 0, 1.25))


class Fail(beam.DoFn):
    def process(self, element: int) -> None:
        events.emit(events.RecordFailed("a.fa", 0, "x", 1, "validate", "nan", "it is not"))


@pytest.mark.parametrize("runner", ["FnApiRunner", "BundleBasedDirectRunner"])
def test_events_are_counted_in_the_steps_wherever_in_them_they_come_from(runner: str) -> None:
    counted = run_graph(
        lambda p: p | beam.Create([10, 20]) | beam.ParDo(Embed()) | beam.ParDo(Fail()),
        [f"--runner={runner}"],
    )
    bundles = counted["files_finished"]
    assert isinstance(bundles, int)
    assert bundles >= 1
    assert counted == {
        "model_loads": counted["model_loads"],  # one for each lifetime of the DoFn
        "passes": 2, "tokens": 16, "padding_tokens": 4, "pass_microseconds": 500_000,
        "records_embedded": 2, "residues_embedded": 30,
        "batch_fill_percent": 150, "batch_fill_percent_count": 2,
        "files_finished": bundles,
        "file_latency_milliseconds": 1250 * bundles, "file_latency_milliseconds_count": bundles,
        "dead_letters_validate_nan": 2,
    }  # fmt: skip
    assert counted["model_loads"] in (1, 2)


def test_what_happens_before_the_graph_is_counted_with_it() -> None:
    events.emit(events.RecordFailed("b.fa", None, "", 0, "read", "name_taken", "m"))
    graph = lambda p: p | beam.Create([1]) | beam.ParDo(Fail())  # noqa: E731
    assert run_graph(graph, []) == {
        "dead_letters_read_name_taken": 1, "files_failed": 1, "dead_letters_validate_nan": 1,
    }  # fmt: skip
    assert run_graph(graph, []) == {"dead_letters_validate_nan": 1}
