"""Tests of ``--metrics_port``: real runs in this process, asked over HTTP."""

from __future__ import annotations

import argparse
import re
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import torch

from pipeline.listening.endpoint import serving_metrics
from pipeline.option_groups.values import Address, parse_address
from tests.command import embed
from tests.outputs import report
from tests.processes import free_port
from tests.waiting import SECONDS_TO_HANG, at_each
from transforms import events
from transforms.errors import ConfigurationError
from transforms.esm import passes
from transforms.measures import METRICS

GOOD = ">a\nMKTAYIAK\n>b\nGGGSSS\n>c\nMKTAYI\n"


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("9100", Address("127.0.0.1", 9100), "127.0.0.1:9100"),
        (" 0 ", Address("127.0.0.1", 0), "127.0.0.1:0"),
        (":9100", Address("127.0.0.1", 9100), "127.0.0.1:9100"),
        ("0.0.0.0:65535", Address("0.0.0.0", 65535), "0.0.0.0:65535"),
        ("node7:9100", Address("node7", 9100), "node7:9100"),
        ("[::1]:9100", Address("::1", 9100), "[::1]:9100"),
    ],
)
def test_a_port_or_an_address_with_one_is_understood(
    text: str, address: Address, shown: str
) -> None:
    assert parse_address(text) == address
    assert str(address) == shown


@pytest.mark.parametrize("text", ["", "x", "-1", "65536", "1.5", "node7", "node7:", "٣"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="must be a port, 0 to 65535, or"):
        parse_address(text)


def fetch(url: str) -> dict[str, float]:
    """What Prometheus gets, by name and labels."""
    with urlopen(url, timeout=SECONDS_TO_HANG) as response:
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        lines = response.read().decode().splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
    return {name: float(value) for name, value in pairs}


class Scraper:
    """Fetches the metrics of a run when things happen."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *when: type[events.Event]) -> None:
        self.fetched: list[dict[str, float]] = []
        self.url = ""
        self._capsys = capsys
        self._when = when

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.RunStarted):
            said = self._capsys.readouterr().err
            found = re.search(r"Metrics are at (http://127\.0\.0\.1:\d+/metrics)$", said, re.M)
            assert found, said
            self.url = found[1]
        if isinstance(event, self._when):
            self.fetched.append(fetch(self.url))


def check_same(fetched: dict[str, float], counted: dict[str, int | str]) -> None:
    """What Prometheus fetched is what Beam has counted, metric by metric."""
    for metric in METRICS.values():
        name = f"fastesm_{metric.name}" + ("_sum" if metric.buckets else "_total")
        for sample, value in fetched.items():
            if sample.partition("{")[0] != name:
                continue
            found = dict(re.findall(r'(\w+)="(\w+)"', sample))
            beam = counted.get(metric.name_for_beam(tuple(found[n] for n in metric.labels)), 0)
            assert isinstance(beam, int)
            # Beam's are whole numbers, each one rounded.
            slack = 0 if metric.beam_factor == 1 else 20
            assert abs(beam - value * metric.beam_factor) <= slack, sample


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "good.fa").write_text(GOOD)
    (folder / "mixed.fa").write_text(">x\nMKTAYIAK\n>y\nMK1\n>z\n")
    (folder / "broken.fa").write_text("no FASTA at all\n")
    return folder


def test_the_numbers_of_a_run_are_those_of_its_report(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scraper = Scraper(capsys, events.RunStarted, events.RunEnded)
    with events.listening(scraper):
        assert embed(inputs, tmp_path / "out", "--metrics_port", 0) == 3
    first, last = scraper.fetched
    assert first["fastesm_records_read_total"] == 0
    told = report(tmp_path / "out")
    totals = told["totals"]
    assert last["fastesm_records_read_total"] == totals["read"] == 6
    assert last["fastesm_residues_read_total"] == totals["residues"]
    assert last["fastesm_rows_committed_total"] == totals["embedded_this_run"] == 4
    assert last["fastesm_records_embedded_total"] == totals["embedded"]
    assert last["fastesm_files_failed_total"] == totals["failed_files"] == 1
    assert last["fastesm_files_finished_total"] == last["fastesm_file_latency_seconds_count"] == 2
    assert 0 < last["fastesm_file_latency_seconds_sum"] < SECONDS_TO_HANG
    letters = {name: value for name, value in last.items() if "dead_letters" in name}
    assert letters == {
        'fastesm_dead_letters_total{reason="not_fasta",stage="read"}': 1,
        'fastesm_dead_letters_total{reason="invalid_residue",stage="residues"}': 1,
        'fastesm_dead_letters_total{reason="empty_sequence",stage="read"}': 1,
    }
    assert sum(letters.values()) == totals["dead_lettered"] + totals["failed_files"]
    check_same(last, told["metrics"])


def test_what_an_earlier_run_has_committed_is_skipped(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert embed(inputs, output) == 3
    measured = report(output)["metrics"]
    for record in (output / "commits").glob("files-*"):
        record.unlink()
    scraper = Scraper(capsys, events.RunEnded)
    with events.listening(scraper):
        assert embed(inputs, output, "--metrics_port", 0) == 3
    (last,) = scraper.fetched
    assert last["fastesm_records_skipped_total"] == 4
    assert last["fastesm_records_embedded_total"] == last["fastesm_passes_total"] == 0
    assert last["fastesm_batch_fill_ratio_count"] == 0
    # The model had nothing to do, so the report keeps what was measured when it had.
    assert report(output)["metrics"] == measured


def test_passes_that_do_not_fit_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    launch_rows = passes.launch_rows

    def with_little_memory(model: torch.nn.Module, rows: Any, full: int) -> Any:
        if len(rows) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return launch_rows(model, rows, full)

    monkeypatch.setattr(passes, "launch_rows", with_little_memory)
    (tmp_path / "a.fa").write_text("".join(f">{n}\nMK{n * 'A'}\n" for n in range(4)))
    scraper = Scraper(capsys, events.RunEnded)
    with events.listening(scraper):
        assert embed(tmp_path / "a.fa", tmp_path / "out", "--metrics_port", 0) == 0
    (last,) = scraper.fetched
    assert last["fastesm_out_of_memory_total"] == 3  # four records, then two and two
    assert last["fastesm_rows_committed_total"] == 4
    check_same(last, report(tmp_path / "out")["metrics"])


def test_a_watch_adds_up_its_rounds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inputs, output = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    (inputs / "a.fa").write_text(GOOD)

    def feed(done: events.FileFinished) -> None:
        if done.source == "a.fa":
            (inputs / "b.fa").write_text(">x\nMKVLAAGLLK\n>bad\nM1\n")

    args = ("--watch", "--poll_seconds", 0.1, "--stop_after", 2, "--metrics_port", 0)
    scraper = Scraper(capsys, events.RunEnded)
    with at_each(events.FileFinished, feed), events.listening(scraper):
        assert embed(inputs, output, *args) == 3
    (last,) = scraper.fetched
    assert last["fastesm_rows_committed_total"] == 4
    assert last["fastesm_files_finished_total"] == 2
    assert last['fastesm_dead_letters_total{reason="invalid_residue",stage="residues"}'] == 1
    assert 0 < last["fastesm_file_latency_seconds_sum"] < SECONDS_TO_HANG
    check_same(last, report(output)["metrics"])


def test_a_run_that_is_over_listens_no_more_and_leaves_nobody_waiting(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(threading.enumerate())
    scraper = Scraper(capsys)
    hung: list[socket.socket] = []

    def connect_and_say_nothing(_: events.RunEnded) -> None:
        port = int(scraper.url.rpartition(":")[2].partition("/")[0])
        hung.append(socket.create_connection(("127.0.0.1", port)))

    with events.listening(scraper), at_each(events.RunEnded, connect_and_say_nothing):
        assert embed(inputs, tmp_path / "out", "--metrics_port", 0) == 3
    with pytest.raises(URLError):
        fetch(scraper.url)
    # What is left are threads that do not keep a process from its end.
    left = set(threading.enumerate()) - before
    assert all(thread.daemon for thread in left)
    hung[0].close()


def test_a_port_that_is_taken_is_refused_before_anything_is_done(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert embed(inputs, tmp_path / "out", "--metrics_port", port) == 2
    said = capsys.readouterr().err
    assert f"--metrics_port 127.0.0.1:{port} cannot be listened on (Address already in use" in said
    assert "0 for any that is free" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a..b", "192.0.2.1"])
def test_an_address_that_is_none_of_this_machine_is_refused(host: str) -> None:
    with (
        pytest.raises(ConfigurationError, match=f"--metrics_port {host}:0 cannot be listened on"),
        serving_metrics(Address(host, 0)),
    ):
        pass


@pytest.mark.parametrize("address", [None, Address("127.0.0.1", 0)])
def test_nobody_listens_unless_it_is_asked_for(address: Address | None) -> None:
    before = list(events._listeners)
    with serving_metrics(address):
        assert (events._listeners == before) == (address is None)
    assert events._listeners == before


def test_where_it_is_served_is_told_unless_that_is_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def told(address: Address, quiet: bool) -> str:
        with serving_metrics(address, quiet) as served:
            assert served.port > 0
        return capsys.readouterr().err.replace(str(served), "HERE")

    line = "Metrics are at http://HERE/metrics\n"
    assert told(Address("127.0.0.1", 0), False) == told(Address("127.0.0.1", 0), True) == line
    address = Address("127.0.0.1", free_port())
    assert (told(address, False), told(address, True)) == (line, "")


@pytest.mark.parametrize(
    "elsewhere", [["--runner=PrismRunner"], ["--direct_running_mode=multi_processing"]]
)
def test_where_nothing_would_be_heard_it_is_refused(
    elsewhere: Sequence[str], inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed(inputs, tmp_path / "out", "--metrics_port", 0, *elsewhere) == 2
    assert "--metrics_port tells what happens in this process" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
