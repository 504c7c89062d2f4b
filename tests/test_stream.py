"""``--watch`` as one job on Prism, with real timers, real files and real signals."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from pipeline.run import main
from tests.command import exit_code_of
from tests.faults.outcome import assert_equal, draw_records, read_outcome, write_fasta, write_inputs
from tests.processes import ON_PRISM, REPO, needs_prism
from tests.test_watch import finished, ids
from tests.waiting import feeding, wait_for
from transforms.output.commits import read_commits

exit_code = partial(exit_code_of, main)


def command(inputs: Path, output: Path, *more: object) -> list[str]:
    args = ["--input", f"{inputs}/*", "--output", output, "--model", "demo", "--quiet", *more]
    return [str(arg) for arg in args]


def watching(inputs: Path, output: Path, *more: object) -> list[str]:
    waits = ["--poll_seconds", 0.3, "--max_batch_wait", 0.3]
    return command(inputs, output, "--watch", *ON_PRISM, *waits, *more)


@pytest.mark.slow
@needs_prism
def test_a_stream_ends_as_bounded_runs_do(tmp_path: Path) -> None:
    """What is there, comes, changes, is mended or has a name that is taken; then SIGTERM."""
    inputs, output = tmp_path / "in", tmp_path / "out"
    write_inputs(inputs, files=3, records=60)

    def feed() -> None:
        wait_for((output / "pt/f2_ESM.pt").exists)  # its part is partial: a timer has sent it on
        old = tmp_path / "old.faa"
        write_fasta(old, draw_records(random.Random(1), 9, "old"))
        os.utime(old, (1e9, 1e9))
        old.rename(inputs / "old.faa")
        (inputs / "f1.fa").write_text(">taken\nMKT\n")
        write_fasta(inputs / "f0.faa", draw_records(random.Random(2), 7, "anew"))
        (inputs / "broken.faa.gz").write_text(">now\nMKV\n")
        (inputs / "half.faa.part").write_text(">half\nMK\n")
        wait_for((output / "pt/old_ESM.pt").exists)
        wait_for(lambda: "broken.faa.gz" in finished(output))
        wait_for(lambda: "f1.fa" in read_commits(str(output)).failed_sources())
        wait_for((output / "pt/f0_ESM.pt").exists)
        os.kill(os.getpid(), signal.SIGTERM)

    with feeding(feed):
        assert exit_code(*watching(inputs, output)) == 143
    assert finished(output) == sorted(
        ["broken.faa.gz", "empty.faa", "f0.faa", "f1.faa", "f2.faa", "old.faa"]
    )
    assert ids(output, "f0") == [f"anew_{n}" for n in range(7)]
    (taken,) = read_commits(str(output)).failed_sources()
    assert taken == "f1.fa"
    report = json.loads((output / "run_report.json").read_text())
    assert report["exit_code"] == 143
    assert "name_taken" in (output / "extraction_failures.log").read_text()
    assert not list((output / ".locks").glob("end-*"))

    for name in ("f1.fa", "half.faa.part"):
        (inputs / name).unlink()
    other = tmp_path / "other"
    assert exit_code(*command(inputs, other)) == 3
    streamed, bounded = read_outcome(output), read_outcome(other)
    streamed.dead_letters[:] = [d for d in streamed.dead_letters if d["source"] != "f1.fa"]
    assert_equal(streamed, bounded)


@pytest.mark.slow
@needs_prism
def test_after_a_kill_the_same_command_carries_on_and_ends_by_itself(tmp_path: Path) -> None:
    inputs, output = tmp_path / "in", tmp_path / "out"
    write_inputs(inputs, files=2, records=150)
    args = watching(inputs, output, "--stop_after", 1, "--toks_per_batch", 64)
    job = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *args],
        cwd=REPO,
        env={**os.environ, "PYTHONPATH": str(REPO)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with job:
        wait_for(lambda: job.poll() is not None or read_commits(str(output)).parts)
        job.kill()
    assert job.returncode == -signal.SIGKILL
    wait_for(lambda: not engines_of(job.pid))
    assert exit_code(*args) == 3
    other = tmp_path / "other"
    assert exit_code(*command(inputs, other)) == 3
    assert_equal(read_outcome(output), read_outcome(other))


def engines_of(pid: int) -> list[str]:
    """The processes that a process has started, and that outlive it."""
    listed = subprocess.run(
        ["ps", "-eo", "ppid=,args="], check=True, capture_output=True, text=True
    ).stdout
    return [line for line in listed.splitlines() if line.split(None, 1)[0] == str(pid)]


@needs_prism
def test_a_job_that_fails_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, output = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    (inputs / "a.fa").write_text(">a\nMKT\n")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("transforms.filling.write_part", fail)
    assert exit_code(*watching(inputs, output)) == 1
    assert "No space left on device" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--watch", "--max_batch_wait", "1"], "on an engine that streams"),
        (["--max_batch_wait", "1"], "goes with --watch"),
        (["--watch", "--runner", "SparkRunner"], "PrismRunner, FlinkRunner"),
    ],
)
def test_what_makes_no_sense_is_refused(
    more: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(*command(tmp_path / "in", tmp_path / "out", *more)) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
