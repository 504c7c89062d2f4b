"""A watch that is killed: the same command ends as the unbroken one does."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.killing import (
    Point,
    check_verified,
    end_and_acquit,
    kill_and_carry_on,
    options,
    outcome_of,
    run,
    start,
)
from tests.faults.outcome import (
    Outcome,
    assert_equal,
    draw_records,
    read_outcome,
    write_fasta,
    write_inputs,
)


def command(inputs: Path, output: Path) -> list[object]:
    more = ("--checkpoint_seconds", 0.2, "--watch", "--poll_seconds", 0.1, "--stop_after", 0.5)
    return options(inputs, output, *more)


@pytest.fixture(scope="module")
def inputs(inputs: Path) -> Path:
    """Good files, bad ones, and one whose name is taken."""
    write_fasta(inputs / "f0.faa.fa", draw_records(random.Random(1), 3, "x"))
    write_fasta(inputs / "f1.fasta", draw_records(random.Random(2), 3, "y"))
    return inputs


@pytest.fixture(scope="module")
def unbroken(inputs: Path) -> Outcome:
    output = inputs.parent / "unbroken"
    outcome = outcome_of(command(inputs, output), output)
    assert {d["error_type"] for d in outcome.dead_letters} >= {"name_taken", "truncated"}
    return outcome


@pytest.mark.parametrize(
    "point",
    [
        Point("commits/output", ".json", "after rename"),
        Point("dead_letters/", ".jsonl", "after rename"),
        Point("commits/part-", ".json", "after rename"),
        Point("commits/part-", ".json", "before write", 2),
        Point("pt/", "_ESM.pt", "after rename", 2),
        Point("commits/files-", ".json", "before write"),
        Point("commits/files-", ".json", "after rename"),
        Point("run_report", ".json", "after rename"),
    ],
    ids=str,
)
def test_killed_at_a_chosen_point(
    point: Point, inputs: Path, unbroken: Outcome, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    kill_and_carry_on(command(inputs, output), output, tmp_path / "log", point, unbroken)


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random_while_files_change(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    inputs, output, log = tmp_path / "in", tmp_path / "out", tmp_path / "log"
    write_inputs(inputs)
    for n in range(4):
        process = start("pipeline.run", command(inputs, output), log)
        process.join(draw.uniform(0.5, 2.5))
        write_fasta(inputs / f"f{n}.faa", draw_records(draw, 100 + n, f"new{n}"))
        process.join(draw.uniform(0, 0.7))
        process.kill()
        process.join()
    end_and_acquit(command(inputs, output), output, log)
    expected = tmp_path / "expected"
    assert run("pipeline.run", command(inputs, expected), log) == 3, log.read_text()
    assert_equal(read_outcome(output), read_outcome(expected))
    check_verified(output, log)
