from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import benchmarks.compare
from benchmarks.__main__ import COMMANDS, main, make_parser
from benchmarks.commands import device, gate
from benchmarks.entries import ENTRIES
from benchmarks.measure import Job, measure, run_job
from benchmarks.mixes import REPO, draw_short, read_fasta, write_fasta
from benchmarks.peer import Peer, Setting
from benchmarks.quality import read_vectors
from benchmarks.weights import SHAPES, write_checkpoint


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A job on the toy shape, for any entry."""
    checkpoint = write_checkpoint(tmp_path / "checkpoint", SHAPES["toy"])
    return Job(
        entry="script",
        setting=Setting(checkpoint, tmp_path, device="cpu", dtype="float32", threads=1),
        fasta=write_fasta(tmp_path / "input.fasta", draw_short(5)),
        warm_up=write_fasta(tmp_path / "warm_up.fasta", ["MKT"]),
        vectors=tmp_path / "vectors.npz",
    )


def test_a_program_is_measured_in_a_process_of_its_own(job: Job) -> None:
    (run,) = run_job(job)["runs"]
    assert run["vectors"] == 5
    # Of the input alone, not of the warm-up.
    residues = sum(map(len, read_fasta(job.fasta).values()))
    assert run["tokens"] == residues + 2 * 5
    assert 0 < run["forward_seconds"] < run["seconds"]
    vectors = read_vectors(cast(Path, job.vectors))
    assert vectors.keys() == read_fasta(job.fasta).keys()


def test_a_budget_that_cannot_be_run_does_not_cost_the_others(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Picky:
        def load(self, setting: Setting) -> Peer:
            def embed(fasta: Path) -> dict[str, np.ndarray]:
                if setting.budget == 2048:
                    raise MemoryError("too\nmuch")
                return {"a": np.ones(4)}

            return Peer(embed)

        packages, module = (), "picky"

    monkeypatch.setitem(ENTRIES, "picky", cast(Any, Picky()))
    job = dataclasses.replace(job, entry="picky", budgets=[1024, 2048, 4096])
    result = measure(job)
    assert [run["budget"] for run in result["runs"]] == [1024, 4096]
    assert result["failures"] == {"2048": "MemoryError: too much"}
    result = measure(dataclasses.replace(job, budgets=[2048]))
    assert result == {"failure": "MemoryError: too much"}


def test_a_process_that_dies_is_a_failure_in_a_line(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "false")
    assert run_job(job) == {"failure": "ended with code 1: no message"}


@pytest.mark.slow
def test_programs_are_compared_and_what_cannot_be_had_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # In this process, because each process of its own imports torch and transformers anew.
    monkeypatch.setattr(benchmarks.compare, "run_job", measure)
    path = tmp_path / "result.json"
    names = ["ours", "script", "transformers-single", "fastplms-default"]
    options = ["peers", "--shape", "toy", "--mix", "short", "--records", "20", "--rounds", "1"]
    options += ["--threads", "1", "--only", ",".join(names), "--output", str(path)]
    assert main(options) == 0
    (run,) = json.loads(path.read_text())
    assert run["options"]["records"] == 20
    assert run["machine"]["cores"] > 0
    mix = run["mixes"]["short"]
    entries = mix["entries"]
    assert list(entries) == names
    for name in names[:3]:
        assert entries[name]["failure"] is None
        summary = entries[name]["summary"]
        assert summary["without_vector"] == 0
        assert summary["worst_difference"] < 1e-5
        assert summary["least_cosine"] > 0.999999
        assert 0 < summary["share_in_model"] <= 1
    (round_of_ours,) = entries["ours"]["rounds"]
    (round_of_script,) = entries["script"]["rounds"]
    # Ours computes identical sequences once, and may try the model out with a residue first.
    unique_tokens = mix["unique_residues"] + 2 * 14
    assert unique_tokens <= round_of_ours["tokens"] <= unique_tokens + 3
    assert round_of_script["tokens"] == mix["residues"] + 2 * 20
    assert "not on PyPI" in entries["fastplms-default"]["failure"]
    table = capsys.readouterr().out
    assert all(f"| {ENTRIES[name].label} |" in table for name in names)
    assert "| not measured: UnavailableError: not on PyPI" in table


@pytest.mark.slow
def test_what_is_for_a_lent_gpu_runs_to_its_end_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(device, "_REFERENCES", 5)
    plan = (("ours", None, 1), ("ours-handler", None, 0.5), ("fastplms-default", None, 0.02))
    monkeypatch.setattr(device, "_PLAN", plan)
    path = tmp_path / "result.json"
    options = ["device", "--device", "cpu", "--shape", "toy", "--share", "0.0005"]
    assert main([*options, "--threads", "1", "--output", str(path)]) == 0
    (run,) = json.loads(path.read_text())
    *measured, failed = run["rows"]
    assert [(row["entry"], row["input"], row["records"]) for row in measured] == [
        ("ours", "large", 10),
        ("ours", "short", 20),
        ("ours-handler", "large", 5),
        ("ours-handler", "short", 10),
    ]
    for row in measured:
        assert row["run"]["compared"] == 5
        assert row["summary"]["worst_difference"] < 1e-5
        assert 0 < row["summary"]["shares"]["ceiling"][1] <= row["summary"]["shares"]["ceiling"][0]
    assert measured[0]["summary"]["ratio_to_ours"] == 1
    assert "not on PyPI" in failed["failure"]
    assert "| ours, model handler alone | default | short | 10 |" in capsys.readouterr().out


@pytest.mark.slow
def test_the_gate_runs_the_command_of_each_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    repo, pipeline = tmp_path / "repo", tmp_path / "repo/pipeline"
    pipeline.mkdir(parents=True)

    def git(*arguments: str) -> None:
        who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run(["git", "-C", str(repo), *who, *arguments], check=True, capture_output=True)

    git("init")
    for seconds in (3.0, 4.0):
        (pipeline / "__main__.py").write_text(
            "import sys, pathlib, json\n"
            "output = pathlib.Path(sys.argv[-1])\n"
            "output.mkdir()\n"
            f"(output / 'run_report.json').write_text(json.dumps({{'seconds': {seconds}}}))\n"
        )
        git("add", ".")
        git("commit", "-m", "x")
    monkeypatch.setattr(gate, "REPO", repo)
    path = tmp_path / "result.json"
    options = ["gate", "--shape", "toy", "--records", "3", "--blocks", "2", "--output", str(path)]
    assert main(options) == 1
    assert "median ratio 0.750 of 2 blocks" in capsys.readouterr().out
    (run,) = json.loads(path.read_text())
    assert run["seconds"] == [{"new": 4.0, "old": 3.0}] * 2


def test_every_benchmark_is_listed_and_started_in_one_way(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    for name, purpose in COMMANDS.items():
        assert f"  {name} " in told
        assert 20 < len(purpose) < 100
        assert make_parser(name).parse_args(["FILE"] if name == "plot" else []).output is None
    assert main(["nothing"]) == 2


@pytest.mark.slow
def test_a_run_is_kept_beside_the_other_runs_of_its_day(tmp_path: Path) -> None:
    path = tmp_path / "scale.json"
    for records in ("50", "60"):
        options = ["scale", "--records", records, "--lanes", "1", "--workers", "1"]
        assert main([*options, "--output", str(path)]) == 0
    runs = json.loads(path.read_text())
    assert [run["options"]["records"] for run in runs] == [50, 60]
    assert all({"time", "machine", "results"} <= run.keys() for run in runs)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize(
    "command",
    [
        "exactness --shape toy --records 4 --dtypes float32",
        "frame --layout many --records 8 --rounds 1 --no_demo",
        "latency --files 1 --poll_seconds 0.2 --with --checkpoint_seconds 5",
        "memory --records 8 --shorten 30",
        "search --rows 50 --dim 8 --queries 3 --top 2 --rounds 1",
    ],
    ids=lambda command: command.partition(" ")[0],
)
def test_it_runs_to_its_end(command: str, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    # In a process of its own: some put stand-ins in the place of models.
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *command.split()[:1], "--output", str(path)]
        + command.split()[1:],
        cwd=REPO, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(json.loads(path.read_text())) == 1
