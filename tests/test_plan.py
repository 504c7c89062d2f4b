"""Tests of ``python -m pipeline.plan``: what it foretells is what a run then does."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline import plan, run
from pipeline.planning.forecast import PlanConfig, make_forecast
from pipeline.planning.rate import read_rate
from pipeline.planning.telling import describe_lengths, in_words
from tests.command import exit_code_of, run_without_model_libraries
from transforms.errors import ConfigurationError

exit_code = partial(exit_code_of, plan.main)

LONG = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVKALPDAQ"
SEQUENCE_OPTIONS = ["--truncation_seq_length", "30", "--toks_per_batch", "64"]


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """Files with one of everything: what is mended, refused, cut, repeated or passed over."""
    folder = tmp_path / "in"
    (folder / "below").mkdir(parents=True)
    files = {
        "odd.fa": b"\xef\xbb\xbf>a one\r\nMKTAYI\r\nAKQR\r\n>b\nmktayiakqr*\n>\nMKJJ\n"
        b">d\n\n>e\nMK1T\n",
        "long.fasta": f">x\n{LONG}\n>y\n{LONG[:40]}\n>z\n{LONG}\n>u\n{'A' * 1_000_001}\n".encode(),
        "below/many.faa.gz": gzip.compress(
            b"".join(b">p%d\n%s\n" % (n, b"ACDEFGHIKL"[: 1 + n % 10] * 2) for n in range(40))
        ),
        "below/cut.faa.gz": gzip.compress(b">a\nMKT\n" * 99)[:-20],
        "below/text.fas": b"hello\n",
        "empty.fna": b"",
        "notes.txt": b"",
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("long_sequences", ["truncate", "window"])
def test_what_is_planned_is_what_a_run_does(
    long_sequences: str, odd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--input", odd, "--model", "demo", "--long_sequences", long_sequences]
    options += SEQUENCE_OPTIONS
    output = tmp_path / "out"
    assert exit_code_of(run.main, *options, "--output", output, "--quiet") == 3
    capsys.readouterr()
    assert exit_code(*options, "--json") == 3
    told = json.loads(capsys.readouterr().out)
    report = json.loads((output / "run_report.json").read_text())

    assert [
        (file["source"], file["url"], file["read"], file["residues"], file["to_embed"],
         file["dead_lettered"])
        for file in sorted(told["files"], key=lambda file: file["source"])
    ] == [
        (file["source"], file["url"], file["read"] or 0, file["residues"] or 0, file["embedded"],
         file["dead_lettered"])
        for file in report["files"]
    ]  # fmt: skip
    failed = {file["source"] for file in report["files"] if file["status"] == "failed"}
    assert {file["source"] for file in told["files"] if not file["readable"]} == failed
    assert len(failed) == told["totals"]["failed_files"] == 2
    for planned, done in {"read": "read", "to_embed": "embedded", "residues": "residues"}.items():
        assert told["totals"][planned] == report["totals"][done]
    assert told["passed_over_by_name"] == report["passed_over_by_name"] == 1

    lines = (line for part in output.glob("dead_letters/*") for line in part.open())
    letters = [json.loads(line) for line in lines]
    kinds = Counter((letter["stage"], letter["error_type"]) for letter in letters)
    assert {(e["stage"], e["error_type"]): e["count"] for e in told["dead_letters"]} == kinds
    sayings = {(letter["source"], letter["id"], letter["message"]) for letter in letters}
    named = [letter for each in told["dead_letters"] for letter in each["first"]]
    assert {(letter["source"], letter["id"], letter["message"]) for letter in named} == sayings

    (work,) = (work for work in told["work"] if work["device"] == "cpu")
    metrics = report["metrics"]
    assert work["batches"] == metrics["batch_fill_percent_count"]
    # A run tries the model out first, with one residue.
    assert work["computed_tokens"] == metrics["tokens"] - 3
    assert work["passes"] == metrics["passes"] - 1
    assert 0 < work["saved_share"] < 1

    written = sum(file.stat().st_size for file in output.glob("pt/**/*.pt"))
    assert told["output"]["pt_bytes"] == pytest.approx(written, rel=0.02)
    parts = sum(file.stat().st_size for file in output.glob("embeddings/*"))
    assert told["output"]["parquet_bytes"] == pytest.approx(parts, rel=0.1)


def test_all_names_that_a_run_would_refuse_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["a.fa", "a.faa", "a.fasta.gz", "b.fa", f"{'x' * 240}.fa"]
    for name in names:
        (tmp_path / name).write_text(">a\nMKT\n")
    options = ["--input", tmp_path, "--model", "demo"]
    assert exit_code(*options) == 2
    said = capsys.readouterr()
    assert "5 records of 15 residues" in said.out
    refusals = said.err.splitlines()
    assert [line.count("would both be written as a:") for line in refusals] == [1, 1, 0]
    assert "give --sinks parquet" in refusals[2]
    assert exit_code(*options, "--sinks", "parquet", "--json") == 2
    told = json.loads(capsys.readouterr().out)
    assert [f"error: {refusal}" for refusal in told["refusals"]] == refusals[:2]
    assert told["output"]["pt_bytes"] is None


@pytest.mark.parametrize(
    ("arguments", "fix"),
    [
        ([], "--input is needed"),
        (["--input", "nothing.fa"], "check its spelling"),
        (["--input", "x.fa", "--device", "gpu"], "--device is auto, cpu"),
        (["--input", "x.fa", "--sinks", "csv"], "--sinks is parquet,pt or parquet"),
        (["--input", "x.fa", "--model", "./none"], "There is no directory"),
        (["--input", "x.fa", "--model", "demo", "--expected_dim", "7"], "vectors of 128"),
        (["--input", "x.fa", "--price_per_gpu_hour", "2"], "give --tokens_per_second"),
        (["--input", "x.fa", "--like", "none"], "Give the --output of a run"),
    ],
)
def test_what_cannot_be_planned_exits_2_with_the_fix(
    arguments: list[str],
    fix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.fa").write_text(">a\nMKT\n")
    assert exit_code(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert fix in said.err
    assert said.err.count("\n") == 1


def write_report(output: Path, **changes: Any) -> Path:
    """What a run on a GPU leaves behind, as far as it is looked at."""
    output.mkdir(exist_ok=True)
    report = {
        "configuration": {"model": "demo", "dtype": "float16"},
        "device": "cuda:0",
        "metrics": {"tokens": 1000},
        "options": {"watch": False, "runner": None},
        "seconds": 100.0,
    }
    (output / "run_report.json").write_text(json.dumps(report | changes))
    return output


def test_time_and_cost_come_from_a_run_that_was_measured(tmp_path: Path) -> None:
    fasta = tmp_path / "x.fa"
    fasta.write_text(">a\n" + "M" * 98 + "\n>b\n" + "K" * 98 + "\n")
    like = str(write_report(tmp_path / "out"))
    config = PlanConfig((str(fasta),), model="demo", like=like, price_per_gpu_hour=36.0)
    found = make_forecast(config)
    assert [work.setting.device for work in found.works] == ["cuda:0"]
    assert found.seconds == pytest.approx(20)
    assert found.cost == pytest.approx(0.2)
    said = in_words(found)
    assert (
        f"Time: 20 s at 10 tokens a second, as the run in {like} went on cuda:0, float16." in said
    )
    assert "Cost: 0.20 for 0.01 hours of a GPU." in said
    given = PlanConfig((str(fasta),), model="demo", tokens_per_second=5.0)
    assert make_forecast(given).seconds == pytest.approx(40)


def test_the_time_of_shards_is_that_of_all_of_them(tmp_path: Path) -> None:
    shards = [{"shard": n, "seconds": 50.0} for n in range(4)]
    output = write_report(tmp_path / "out", seconds=1.0, shards=shards)
    assert read_rate(str(output), "demo").tokens_per_second == pytest.approx(5)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"configuration": {"model": "other", "dtype": "float16"}}, "with --model other"),
        ({"metrics": {}}, "had nothing to embed"),
        ({"options": {"watch": True}}, "waited for what was to come"),
        ({"options": {"runner": "FlinkRunner"}}, "--runner FlinkRunner"),
        ({"options": {"direct_num_workers": 4}}, "with workers nobody counted"),
        ({"options": None}, "is no report of a run"),
    ],
)
def test_a_report_that_tells_no_speed_is_refused(
    changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    output = write_report(tmp_path / "out", **changes)
    with pytest.raises(ConfigurationError, match=reason):
        read_rate(str(output), "demo")


def test_a_plan_for_another_device_or_dtype_takes_no_speed_of_the_run(tmp_path: Path) -> None:
    like = str(write_report(tmp_path / "out"))
    for option in ({"device": "cpu"}, {"dtype": "float32"}):
        config = PlanConfig((str(tmp_path),), model="demo", like=like, **option)
        with pytest.raises(ConfigurationError, match=f"that run was with --{[*option][0]}"):
            make_forecast(config)


def test_the_price_of_a_gpu_is_not_put_on_a_run_without_one(tmp_path: Path) -> None:
    like = str(write_report(tmp_path / "out", device="cpu"))
    config = PlanConfig((str(tmp_path),), model="demo", like=like, price_per_gpu_hour=1.0)
    with pytest.raises(ConfigurationError, match="that run was on cpu"):
        make_forecast(config)


def test_lengths_are_told_in_bins_that_double() -> None:
    told = describe_lengths(Counter({1: 2, 7: 1, 8: 3, 300: 1}))
    assert (told["min"], told["median"], told["max"]) == (1, 8, 300)
    assert told["mean"] == pytest.approx(333 / 7)
    found = {(each["from"], each["to"]): each["records"] for each in told["histogram"]}
    assert found == {
        (1, 1): 2, (2, 3): 0, (4, 7): 1, (8, 15): 3, (16, 31): 0, (32, 63): 0, (64, 127): 0,
        (128, 255): 0, (256, 511): 1,
    }  # fmt: skip
    assert describe_lengths(Counter())["histogram"] == []


def test_the_libraries_of_the_model_are_not_loaded_and_ids_cannot_command_a_terminal(
    tmp_path: Path,
) -> None:
    (tmp_path / "x.fa").write_text(">\x1b[2J\nMK1\n>b\nMKTAYI\n>c\nMKTAYI\n")
    done = run_without_model_libraries("plan", "--input", tmp_path)
    assert (done.returncode, done.stderr) == (3, "")
    assert all(line.isprintable() for line in done.stdout.splitlines())
    assert "1 invalid_residue (residues)" in done.stdout
    assert "x.fa, \\x1b[2J: '1' at position 3 is not an amino acid letter" in done.stdout
    assert "8 tokens to compute, 50.0% saved by duplicates" in done.stdout
