"""Shards of one output, killed and started again, make together what one run makes alone."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.faults.killing import Point, check_verified, options, run, start
from tests.faults.outcome import assert_equal, read_outcome, write_inputs

COUNT = 4


def command(inputs: Path, output: Path) -> list[object]:
    return options(inputs, output, "--checkpoint_seconds", 0.2)


def test_four_at_one_time_one_of_them_killed_make_what_one_run_makes(tmp_path: Path) -> None:
    inputs, output, log = tmp_path / "in", tmp_path / "out", tmp_path / "log"
    write_inputs(inputs)
    logs = [tmp_path / f"log{number}" for number in range(COUNT)]
    commands = [[*command(inputs, output), "--shard", f"{n}/{COUNT}"] for n in range(COUNT)]
    points = {2: Point("commits/part-", ".json", "after fsync", 1)}
    shards = [start("pipeline.run", commands[n], logs[n], points.get(n)) for n in range(COUNT)]
    for process in shards:
        process.join(120)
    codes = [process.exitcode for process in shards]
    assert codes == [3, 3, -signal.SIGKILL, 3], [each.read_text() for each in logs]
    assert run("pipeline.finish", [output], log) == 1
    assert "1 of 4 shards has not ended: 2 (died)" in log.read_text()
    assert run("pipeline.run", commands[2], logs[2]) == 3, logs[2].read_text()
    assert run("pipeline.run", command(inputs, tmp_path / "unbroken"), log) == 3
    assert_equal(read_outcome(output), read_outcome(tmp_path / "unbroken"))
    check_verified(output, log)
