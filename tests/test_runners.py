from __future__ import annotations

import apache_beam as beam
import pytest
from apache_beam.metrics import Metrics
from apache_beam.options.pipeline_options import StandardOptions

from pipeline.runners import GraphError, make_options, root_cause, run_graph


@pytest.mark.parametrize(
    ("args", "runner"),
    [
        ([], "FnApiRunner"),
        (["--runner=DirectRunner"], "FnApiRunner"),
        (["--runner=PrismRunner"], "PrismRunner"),
    ],
)
def test_the_local_engine_is_pinned_and_others_are_left(args: list[str], runner: str) -> None:
    assert make_options(args).view_as(StandardOptions).runner == runner


class Fail(beam.DoFn):
    def process(self, element: int) -> None:
        raise OSError(28, "No space left on device")


class Count(beam.DoFn):
    def process(self, element: int) -> None:
        Metrics.counter("n", "seen").inc()
        Metrics.distribution("n", "size").update(element)


def test_what_a_step_raises_comes_out_in_one_line() -> None:
    with pytest.raises(GraphError) as caught:
        run_graph(lambda p: p | beam.Create([1]) | beam.ParDo(Fail()), [])
    assert str(caught.value) == "OSError: [Errno 28] No space left on device"


class CountAndPass(Count):
    def process(self, element: int) -> list[int]:
        super().process(element)
        Metrics.string_set("n", "kinds").add(f"kind {element % 2}")
        return [element]


def test_counters_and_sums_come_back_by_name_over_all_steps() -> None:
    metrics = run_graph(
        lambda p: (
            p
            | beam.Create([1, 2, 3])
            | "First" >> beam.ParDo(CountAndPass())
            | "Second" >> beam.ParDo(Count())
        ),
        [],
    )
    assert metrics == {"seen": 6, "size": 12, "size_count": 6, "kinds": "kind 0, kind 1"}


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (
            "Traceback (most recent call last):\n  File x\n"
            "transforms.errors.AccountingError: a.faa "
            "[while running 'Write ESM pt/ParDo(_D)']\n",
            "AccountingError: a.faa",
        ),
        ("ValueError: plain", "ValueError: plain"),
        ("Pipeline failed for a reason", "Pipeline failed for a reason"),
    ],
)
def test_the_root_cause_is_the_last_exception_named(text: str, cause: str) -> None:
    assert root_cause(text) == cause
