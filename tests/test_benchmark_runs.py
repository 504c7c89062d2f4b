from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import benchmarks.compare
from benchmarks import report
from benchmarks.entries import ENTRIES
from benchmarks.measure import Job, measure, run_job
from benchmarks.mixes import draw_short, read_fasta, write_fasta
from benchmarks.peer import Peer, Setting
from benchmarks.quality import read_vectors
from benchmarks.weights import SHAPES, write_checkpoint


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A job on the toy shape, for any entry."""
    return Job(
        entry="script",
        checkpoint=str(write_checkpoint(tmp_path / "checkpoint", SHAPES["toy"])),
        fasta=str(write_fasta(tmp_path / "input.fasta", draw_short(5))),
        warm_up=str(write_fasta(tmp_path / "warm_up.fasta", ["MKT"])),
        vectors=str(tmp_path / "vectors.npz"),
        device="cpu",
        dtype="float32",
        threads=1,
    )


def test_a_program_is_measured_in_a_process_of_its_own(job: Job) -> None:
    (run,) = run_job(job)["runs"]
    assert run["vectors"] == 5
    # Of the input alone, not of the warm-up.
    residues = sum(map(len, read_fasta(Path(job.fasta)).values()))
    assert run["tokens"] == residues + 2 * 5
    assert 0 < run["forward_seconds"] < run["seconds"]
    vectors = read_vectors(Path(job.vectors or ""))
    assert vectors.keys() == read_fasta(Path(job.fasta)).keys()


def test_a_budget_that_cannot_be_run_does_not_cost_the_others(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    result = measure(job, tmp_path)
    assert [run["budget"] for run in result["runs"]] == [1024, 4096]
    assert result["failures"] == {"2048": "MemoryError: too much"}
    result = measure(dataclasses.replace(job, budgets=[2048]), tmp_path)
    assert result == {"failure": "MemoryError: too much"}


def test_a_process_that_dies_is_a_failure_in_a_line(job: Job) -> None:
    assert run_job(job, python="false") == {"failure": "ended with code 1: no message"}


@pytest.mark.slow
def test_programs_are_compared_and_what_cannot_be_had_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # In this process, because each process of its own imports torch and transformers anew.
    def measure_here(job: Job, python: str = "") -> dict[str, Any]:
        return measure(job, Path(tempfile.mkdtemp(dir=tmp_path)))

    monkeypatch.setattr(benchmarks.compare, "run_job", measure_here)
    path = tmp_path / "result.json"
    parser = argparse.ArgumentParser()
    report.add_peers(parser.add_subparsers())
    names = ["ours", "script", "transformers-single", "fastplms-default"]
    options = parser.parse_args(
        ["peers", "--shape", "toy", "--mix", "short", "--records", "20", "--rounds", "1"]
        + ["--threads", "1", "--only", ",".join(names), "--output", str(path)]
    )
    assert report.run_peers(options) == 0
    mix = json.loads(path.read_text())["mixes"]["short"]
    entries = mix["entries"]
    assert list(entries) == names
    for name in names[:3]:
        assert entries[name]["failure"] is None
        summary = entries[name]["summary"]
        assert summary["failures"] == 0
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
