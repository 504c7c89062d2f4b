"""Tests of what is measured, and of what each event adds to it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from transforms import events
from transforms.measures import METRICS, Measure

SAMPLES: dict[str, Any] = {"int": 3, "float": 0.5, "str": "word", "int | None": None}

EVENTS = [
    kind(*(SAMPLES[str(field.type)] for field in dataclasses.fields(kind)))
    for kind in events.Event.__subclasses__()
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_what_an_event_measures_is_a_metric_with_its_labels(event: events.Event) -> None:
    for measure in event.measures():
        assert len(measure.labels) == len(METRICS[measure.name].labels)


def test_every_metric_is_measured_by_some_event() -> None:
    assert {measure.name for event in EVENTS for measure in event.measures()} == METRICS.keys()


def test_no_label_is_a_name_of_a_file_a_record_or_a_run() -> None:
    labels = {label for metric in METRICS.values() for label in metric.labels}
    assert labels == {"stage", "reason"}


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_names_are_as_prometheus_wants_them(metric: Any) -> None:
    assert re.fullmatch("[a-z]+(_[a-z]+)*", metric.name)
    assert not metric.name.endswith("_total")  # it is added to every sum
    if metric.buckets:
        assert metric.name.endswith(("_seconds", "_ratio"))
        assert list(metric.buckets) == sorted(metric.buckets)


def test_beam_has_a_name_for_each() -> None:
    names = [metric.name_for_beam(("read", "bomb")) for metric in METRICS.values()]
    assert len(set(names)) == len(METRICS)
    assert METRICS["dead_letters"].name_for_beam(("read", "bomb")) == "dead_letters_read_bomb"


def failed(ordinal: int | None) -> events.RecordFailed:
    return events.RecordFailed("a.fa", ordinal, "x", 5, "read", "too_long", "m")


def test_a_file_that_fails_is_a_dead_letter_too() -> None:
    letter = Measure("dead_letters", 1, ("read", "too_long"))
    assert failed(0).measures() == (letter,)
    assert failed(None).measures() == (letter, Measure("files_failed"))


def test_padding_is_what_is_computed_beside_the_sequences() -> None:
    measured = {m.name: m.value for m in events.PassComputed(2, 90, 100, 0.25).measures()}
    assert measured == {"passes": 1, "tokens": 90, "padding_tokens": 10, "pass_seconds": 0.25}


def test_the_fill_of_a_batch_is_a_share_of_its_budget() -> None:
    assert events.BatchFilled(75, 100).measures() == (Measure("batch_fill_ratio", 0.75),)


def test_the_table_in_the_documentation_is_complete() -> None:
    table = (Path(__file__).parents[1] / "docs/monitoring.md").read_text()
    rows = table.split("| metric | |\n|---|---|\n")[1].split("\n\n")[0].splitlines()
    named = [name for row in rows for name in re.findall(r"`([a-z_]+)[`{]", row.split("|")[1])]
    assert named == list(METRICS)
