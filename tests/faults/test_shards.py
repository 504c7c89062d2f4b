"""Shards of one output, killed and started again, make together what one run makes alone."""

from __future__ import annotations

import os
import signal
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from tests.faults.killing import Point, run, start
from tests.faults.outcome import Outcome, assert_equal, read_outcome, write_inputs

COUNT = 4
PART = ("commits/part-", ".json")


def command(inputs: Path, output: Path) -> list[object]:
    return [
        "--input", inputs, "--output", output, "--model", "demo", "--toks_per_batch", 300,
        "--checkpoint_seconds", 0.2,
    ]  # fmt: skip


def shard_command(inputs: Path, output: Path, number: int, count: int = COUNT) -> list[object]:
    return [*command(inputs, output), "--shard", f"{number}/{count}"]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards") / "in"
    write_inputs(folder)
    return folder


@pytest.fixture(scope="module")
def unbroken(inputs: Path) -> Outcome:
    output = inputs.parent / "unbroken"
    assert run("pipeline.run", command(inputs, output), inputs.parent / "log") == 3
    return read_outcome(output)


def join(process: BaseProcess) -> int | None:
    process.join(120)
    return process.exitcode


def test_four_shards_at_one_time_one_of_them_killed_make_what_one_run_makes(
    inputs: Path, unbroken: Outcome, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    logs = [tmp_path / f"log{number}" for number in range(COUNT)]
    point = Point(*PART, "after fsync", 1)
    shards = [
        start("pipeline.run", shard_command(inputs, output, n), logs[n], point if n == 2 else None)
        for n in range(COUNT)
    ]
    codes = [join(shard) for shard in shards]
    assert codes == [3, 3, -signal.SIGKILL, 3], [log.read_text() for log in logs]
    log = tmp_path / "log"
    assert run("pipeline.finish", [output], log) == 1
    assert "1 of 4 shards has not ended: 2 (died)" in log.read_text()
    assert "run_report.json" in os.listdir(output)
    assert run("pipeline.run", shard_command(inputs, output, 2), logs[2]) == 3
    assert_equal(read_outcome(output), unbroken)
    assert run("pipeline.verify", [output, "--sample", 0], log) == 0, log.read_text()
