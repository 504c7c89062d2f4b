"""Killed at chosen points and at random, the same command ends as the unbroken run does."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.faults.killing import (
    STAGES,
    Point,
    check_carries_on,
    end_and_acquit,
    kill,
    kill_and_carry_on,
    options,
    outcome_of,
    run,
    start,
)
from tests.faults.outcome import (
    Outcome,
    draw_records,
    read_outcome,
    write_fasta,
    write_inputs,
)
from transforms.filling import FIRST_PART_RECORDS

BATCH_RECORDS = 200  # of 16 x 300 tokens, a record having 34 in the mean

# What is published, and at which file of the kind the process dies.
KINDS = [
    ("embeddings/", ".parquet", 1),
    ("dead_letters/", ".jsonl", 0),
    ("commits/part-", ".json", 1),
    ("pt/", "_ESM.pt", 2),
    ("pt/", ".failures.jsonl", 1),
    ("commits/files-", ".json", 0),
    ("run_report", ".json", 0),
]
POINTS = [Point(path, end, stage, n) for path, end, n in KINDS for stage in STAGES]
FIRSTS = [
    Point("commits/output", ".json", "after fsync"),
    Point("embeddings/", ".parquet", "after rename"),
    Point("commits/part-", ".json", "after rename"),
    Point("pt/", "_ESM.pt", "after rename"),
]


def command(inputs: Path, output: Path) -> list[object]:
    return options(inputs, output, "--checkpoint_seconds", 0.2)


@pytest.fixture(scope="module")
def unbroken(inputs: Path) -> Outcome:
    output = inputs.parent / "unbroken"
    return outcome_of(command(inputs, output), output)


def embedded_again(log: Path) -> list[tuple[int, int]]:
    """For each process that was killed, its parts and the records that it embedded after them."""
    lost, parts, since = [], 0, 0
    for line in Path(f"{log}.events").read_text().splitlines():
        what, number = line.split()
        if what == "killed":
            lost.append((parts, since))
            parts = since = 0
        elif what == "committed":
            parts, since = parts + 1, 0
        else:
            since += int(number)
    return lost


def note_kill(log: Path) -> None:
    with open(f"{log}.events", "a") as handle:
        handle.write("killed 0\n")


@pytest.mark.parametrize("point", [*POINTS, *FIRSTS], ids=str)
def test_killed_at_a_chosen_point(
    point: Point, inputs: Path, unbroken: Outcome, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    kill_and_carry_on(command(inputs, output), output, tmp_path / "log", point, unbroken)


@pytest.mark.parametrize("seed", range(8))
def test_killed_at_random_again_and_again(
    seed: int, inputs: Path, unbroken: Outcome, tmp_path: Path
) -> None:
    draw = random.Random(seed)
    output, log = tmp_path / "out", tmp_path / "log"
    kills = 0
    while kills < 2:
        before = commits(output)
        process = start("pipeline.run", command(inputs, output), log)
        # From the first sign of this run on, at any moment.
        wanted = draw.randrange(3)
        while process.is_alive() and commits(output) < before + wanted:
            time.sleep(0.002)
        process.join(draw.uniform(0, 0.2))
        process.kill()
        process.join()
        if process.exitcode != -signal.SIGKILL:  # it was faster
            if kills:
                break
            shutil.rmtree(output)
            Path(f"{log}.events").unlink()
            continue
        note_kill(log)
        kills += 1
    end_and_acquit(command(inputs, output), output, log)
    check_carries_on(command(inputs, output), output, log, unbroken)
    # A crash costs a part that was not full, and the batch under way.
    for parts, records in embedded_again(log):
        assert records <= (FIRST_PART_RECORDS << 2 * parts) + BATCH_RECORDS


def commits(output: Path) -> int:
    folder = output / "commits"
    return sum(n.startswith("part-") for n in os.listdir(folder)) if folder.exists() else 0


def edit(records: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Five records are added, three removed and two changed."""
    edited = [record for i, record in enumerate(records) if i not in (3, 700, 1900)]
    for position in (10, 1500):
        edited[position] = (edited[position][0], "M" + edited[position][1])
    for position in (0, 1, 900, 1800, len(edited)):
        edited.insert(position, (f"new_{position}", "MKTAYIAKQR" * 3))
    return edited


PART, ROWS = ("commits/part-", ".json"), ("embeddings/", ".parquet")
PT, FILES = ("pt/", "_ESM.pt"), ("commits/files-", ".json")
KILLS_OF_A_CHANGE = [
    (Point(*PART, "after fsync"), Point(*ROWS, "after rename", 1)),
    (Point(*PART, "after rename"), Point(*PT, "after fsync")),
    (Point(*ROWS, "before write"), Point(*FILES, "after fsync")),
    (Point(*PART, "after rename", 2), Point(*PT, "after rename")),
]


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Outcome]:
    """Returns inputs of which one was edited, an output from before, and what it must become."""
    folder = tmp_path_factory.mktemp("edited")
    inputs, before, log = folder / "in", folder / "before", folder / "log"
    inputs.mkdir()
    write_fasta(inputs / "other.faa", draw_records(random.Random(6), 60, "o"))
    records = draw_records(random.Random(5), 2000, "r")
    write_fasta(inputs / "edited.faa", records)
    assert run("pipeline.run", command(inputs, before), log) == 3
    write_fasta(inputs / "edited.faa", edit(records))
    expected = folder / "expected"
    return inputs, before, outcome_of(command(inputs, expected), expected)


@pytest.mark.parametrize(("first", "second"), KILLS_OF_A_CHANGE, ids=str)
def test_a_file_edited_between_two_runs_and_the_second_killed_twice(
    first: Point, second: Point, edited: tuple[Path, Path, Outcome], tmp_path: Path
) -> None:
    inputs, before, expected = edited
    output, log = tmp_path / "out", tmp_path / "log"
    shutil.copytree(before, output)
    for point in (first, second):
        kill("pipeline.run", command(inputs, output), log, point)
        # A reader of the folder never sees records of both.
        ids = {row["id"] for row in read_outcome(output).rows if row["source"] == "edited.faa"}
        assert not ({"r_3", "r_700", "r_1900"} & ids and {"new_0", "new_900"} & ids)
    check_carries_on(command(inputs, output), output, log, expected)


@pytest.mark.parametrize(
    "point",
    [
        Point(*PART, "after fsync"),
        Point(*PART, "after rename"),
        Point(*PART, "after rename", 1),
        Point(*PT, "after rename"),
        Point(*FILES, "after rename"),
    ],
    ids=str,
)
def test_a_retry_that_is_killed(
    point: Point, inputs: Path, unbroken: Outcome, tmp_path: Path
) -> None:
    output, log = tmp_path / "out", tmp_path / "log"
    shutil.copytree(inputs.parent / "unbroken", output)
    retry = [*command(inputs, output), "--retry_failed"]
    kill("pipeline.run", retry, log, point)
    check_carries_on(command(inputs, output), output, log, unbroken)


@pytest.fixture(scope="module")
def mended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Outcome]:
    """Returns inputs that were mended, an output from before, and what it must become."""
    folder = tmp_path_factory.mktemp("mended")
    inputs, before, log = folder / "in", folder / "before", folder / "log"
    write_inputs(inputs)
    assert run("pipeline.run", command(inputs, before), log) == 3
    for n in range(5):
        path = inputs / f"f{n}.faa"
        path.write_text(path.read_text().replace("1\n", "\n"))
    (inputs / "broken.faa.gz").write_bytes(gzip.compress(b">x\nMK\n" * 99))
    assert run("pipeline.run", command(inputs, folder / "expected"), log) == 0
    return inputs, before, read_outcome(folder / "expected")


@pytest.mark.parametrize(
    "point",
    [
        Point("commits/reopened", ".json", "after rename"),
        Point(*PART, "after rename"),
        Point(*ROWS, "before write"),
        Point(*ROWS, "after rename", 2),
        Point(*FILES, "after rename"),
    ],
    ids=str,
)
def test_a_retry_of_mended_files_that_is_killed_goes_on_by_itself(
    point: Point, mended: tuple[Path, Path, Outcome], tmp_path: Path
) -> None:
    inputs, before, expected = mended
    output, log = tmp_path / "out", tmp_path / "log"
    shutil.copytree(before, output)
    retry = ["--retry_failed", *command(inputs, output)[2:]]
    kill("pipeline.run", retry, log, point)
    check_carries_on(retry, output, log, expected, code=0)
