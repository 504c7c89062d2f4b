"""Tests of the listener that adds up what Prometheus fetches."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from prometheus_client import generate_latest

from pipeline.listening.prometheus import PrometheusMetrics
from tests.test_measures import EVENTS
from transforms import events
from transforms.measures import METRICS


def values(metrics: PrometheusMetrics) -> dict[str, float]:
    """Every sample of ours by its name and labels, as they are sent."""
    lines = generate_latest(metrics.registry).decode().splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if line.startswith("fastesm_")]
    return {name: float(value) for name, value in pairs}


def test_every_sum_is_there_from_the_start() -> None:
    sent = values(PrometheusMetrics())
    sums = [m.name for m in METRICS.values() if not m.buckets and not m.labels]
    assert {name: sent[f"fastesm_{name}_total"] for name in sums} == dict.fromkeys(sums, 0)
    assert not [name for name in sent if "_created" in name]


def test_the_memory_of_the_process_is_among_them() -> None:
    assert b"process_resident_memory_bytes" in generate_latest(PrometheusMetrics().registry)


def test_all_events_are_understood_and_those_that_measure_nothing_pass_by() -> None:
    @dataclass(frozen=True, slots=True)
    class NewKind(events.Event):
        what: str

    metrics = PrometheusMetrics()
    before = values(metrics)
    metrics(NewKind("never heard of"))
    assert values(metrics) == before
    for event in EVENTS:
        metrics(event)
    assert values(metrics) != before


def test_sums_add_up_and_dead_letters_are_told_apart() -> None:
    metrics = PrometheusMetrics()
    for reason in ("truncated", "truncated", "corrupt"):
        metrics(events.RecordFailed("a.fa", None, "", 0, "read", reason, "m"))
    metrics(events.RecordsEmbedded(3, 100))
    metrics(events.RecordsEmbedded(2, 11))
    sent = values(metrics)
    assert sent["fastesm_records_embedded_total"] == 5
    assert sent["fastesm_residues_embedded_total"] == 111
    assert sent["fastesm_files_failed_total"] == 3
    name = 'fastesm_dead_letters_total{{reason="{}",stage="read"}}'
    assert (sent[name.format("truncated")], sent[name.format("corrupt")]) == (2, 1)


def test_distributions_are_counted_in_buckets() -> None:
    metrics = PrometheusMetrics()
    for seconds in (0.2, 3.0, 1e9):
        metrics(events.FileFinished("a.fa", 1, 0, seconds))
    sent = values(metrics)
    name = "fastesm_file_latency_seconds"
    assert (sent[f"{name}_count"], sent[f"{name}_sum"]) == (3, 1e9 + 3.2)
    assert [sent[f'{name}_bucket{{le="{le}"}}'] for le in ("0.5", "2.0", "5.0", "+Inf")] == [
        1, 1, 2, 3,
    ]  # fmt: skip


def fork(end: int) -> object:
    if not (child := os.fork()):
        os.read(end, 1)
        os._exit(0)
    return child


def start(end: int) -> object:
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=end, close_fds=False)


@pytest.mark.parametrize("begin", [fork, start])
def test_a_process_that_is_begun_meanwhile_does_not_keep_the_port(
    begin: Callable[[int], object],
) -> None:
    to_read, to_write = os.pipe()
    with PrometheusMetrics().served("127.0.0.1", 0) as port:
        child = begin(to_read)
    try:
        socket.create_server(("127.0.0.1", port)).close()
    finally:
        os.write(to_write, b"\n")
        if isinstance(child, subprocess.Popen):
            child.wait()
        else:
            os.wait()
        os.close(to_read)
        os.close(to_write)
