"""A record that kills the process does so twice, and is a dead letter from then on."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.run import main
from tests.command import exit_code_of
from tests.outputs import dead_letters, pt, report, rows
from tests.poisoned import poison
from tests.processes import REPO
from transforms.output.commits import read_commits

KILLER = "WWWWWWWW"
COUNT = 60
BAD = {"f0.faa": [7], "f1.faa": [0, 41]}  # the same sequence, three times


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """Two files of short records, among them one sequence, in three records, that kills."""
    draw = random.Random(3)
    folder = tmp_path / "in"
    folder.mkdir()
    for source, bad in BAD.items():
        sequences = ["".join(draw.choices("ACDEFGHIKL", k=20 + i)) for i in range(COUNT)]
        for ordinal in bad:
            sequences[ordinal] = f"MKT{KILLER}AYI"
        records = (f">{source}_{i}\n{sequence}\n" for i, sequence in enumerate(sequences))
        (folder / source).write_text("".join(records))
    return folder


def options(inputs: Path, out: Path) -> list[str]:
    return [
        *("--input", str(inputs), "--output", str(out), "--model", "demo", "--device", "cpu"),
        *("--toks_per_batch", "500"),
    ]


def start(inputs: Path, out: Path) -> tuple[int, str]:
    """Runs the command in a process of its own; returns its exit code and what it said."""
    command = [sys.executable, "-m", "tests.poisoned", "kill", KILLER, *options(inputs, out)]
    done = subprocess.run(
        command, cwd=REPO, capture_output=True, text=True, timeout=300, check=False
    )
    return done.returncode, done.stdout + done.stderr


def exit_code(inputs: Path, out: Path, *more: str) -> int:
    """Runs the command in this process."""
    return exit_code_of(main, *options(inputs, out), *more)


def vectors(out: Path) -> dict[tuple[str, int], np.ndarray]:
    found = [(row["source"], row["ordinal"], row["embedding"]) for row in rows(out)]
    by_key = {(source, ordinal): np.array(vector) for source, ordinal, vector in found}
    assert len(by_key) == len(found)
    return by_key


def check(out: Path) -> None:
    """Everything is embedded but the killer, whose records are dead letters of two attempts."""
    letters = dead_letters(out)
    killers = [(source, ordinal) for source, bad in BAD.items() for ordinal in bad]
    assert [(d["source"], d["ordinal"]) for d in letters] == killers
    for letter in letters:
        assert (letter["stage"], letter["error_type"]) == ("inference", "process_died")
        assert letter["attempts"] == 2
    expected = {(source, ordinal) for source in BAD for ordinal in range(COUNT)}
    assert vectors(out).keys() == expected - set(killers)
    told = report(out)
    assert (told["exit_code"], told["totals"]["dead_lettered"]) == (3, 3)
    assert told["totals"]["embedded"] == 2 * COUNT - 3
    for source, bad in BAD.items():
        ids = [f"{source}_{i}" for i in range(COUNT) if i not in bad]
        assert pt(out, Path(source).stem)["proteins"] == ids


@pytest.mark.slow
def test_a_record_that_kills_the_process_does_so_twice(inputs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for _ in range(2):
        code, said = start(inputs, out)
        assert code == -signal.SIGKILL, said
    code, said = start(inputs, out)
    assert code == 3, said
    assert "process_died" in said
    check(out)
    # Once more: no death, and nothing is computed or written again.
    before = read_commits(str(out))
    code, said = start(inputs, out)
    assert code == 3, said
    assert read_commits(str(out)) == before
    # The vectors are those of a run in which nothing dies.
    assert exit_code(inputs, tmp_path / "unbroken") == 0
    unbroken = vectors(tmp_path / "unbroken")
    for key, vector in vectors(out).items():
        np.testing.assert_allclose(vector, unbroken[key], atol=1e-5)


def test_a_record_that_breaks_the_device_does_so_twice(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    broken = poison("break", KILLER)
    try:
        for _ in range(2):
            assert exit_code(inputs, out) == 1
            error = capsys.readouterr().err
            assert "device-side assert triggered" in error
            assert "Traceback" not in error
        assert exit_code(inputs, out) == 3
        assert "process_died" in capsys.readouterr().out
        check(out)
        # A file that comes later may hold the same sequence: it costs no death any more.
        (inputs / "later.faa").write_text(f">x\nMKT{KILLER}AYI\n>y\nMKV\n")
        assert exit_code(inputs, out) == 3
        assert ("later.faa", 1) in vectors(out)
        # Tried again without need, it costs two deaths again and comes to the same end.
        assert [exit_code(inputs, out, "--retry_failed") for _ in range(3)] == [1, 1, 3]
        assert "died twice" in dead_letters(out)[0]["message"]
    finally:
        broken.remove()
    # With the cause gone it is a record like any other.
    assert exit_code(inputs, out, "--retry_failed") == 0
    assert len(vectors(out)) == 2 * COUNT + 2
    assert not (out / ".under_way").exists()
