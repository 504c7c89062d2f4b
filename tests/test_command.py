"""The command line, as a user runs it."""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
import zstandard

from pipeline import verify
from pipeline.dispatch import dispatch
from pipeline.ending import report_or_fail
from pipeline.options import parse_options
from pipeline.outputs import check_same, lock_output
from pipeline.overview import look
from pipeline.run import main
from pipeline.run_report import Report
from tests.command import exit_code_of
from tests.dying import dying
from tests.model_helpers import copy_checkpoint
from tests.outputs import dead_letters, lines, pt, report, rows
from tests.processes import LARGE, REPO, needs_shared
from tests.waiting import at_each, heard, once
from transforms import events
from transforms.errors import ConfigurationError, damaged
from transforms.esm.checkpoints import find_checkpoint
from transforms.esm.encoding import encode, encode_packed
from transforms.esm.weights import load_encoder
from transforms.esm.windows import cut_windows
from transforms.inputs import reading
from transforms.inputs.fasta import FastaRecord, parse_fasta
from transforms.naming import pt_name
from transforms.output.commits import read_commits
from transforms.output.holders import read_holder, write_holder
from transforms.output.locks import hold
from transforms.output.reopened import note_reopened

exit_code = partial(exit_code_of, main)

GOOD = ">a first\nMKTAYIAKQR\n>b second\nGGGSSS*\n>c\nmkv\n"


def command(*args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *map(str, args)],
        cwd=REPO, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "good.faa"
    path.parent.mkdir()
    path.write_text(GOOD)
    return path


def test_a_clean_run_exits_0_and_leaves_what_is_documented(fasta: Path, tmp_path: Path) -> None:
    done = command("--input", fasta.parent, "--output", tmp_path / "out", "--model", "demo")
    assert done.returncode == 0, done.stderr
    assert "3 proteins embedded" in done.stdout
    assert "random weights" in done.stdout
    assert "Traceback" not in done.stderr
    assert sorted(os.listdir(tmp_path / "out")) == [
        ".locks", "commits", "embeddings", "extraction_failures.log", "pt", "run_report.json",
    ]  # fmt: skip
    assert pt(tmp_path / "out", "good")["proteins"] == ["a", "b", "c"]
    written = rows(tmp_path / "out")
    assert [row["id"] for row in written] == ["a", "b", "c"]
    assert [row["residue_changes"] for row in written] == [
        None,
        "terminal * dropped",
        "upper-cased",
    ]
    assert report(tmp_path / "out")["totals"] == {
        "files": 1, "failed_files": 0, "read": 3, "residues": 20, "embedded": 3, "dead_lettered": 0,
        "embedded_this_run": 3,
    }  # fmt: skip


def test_quiet_says_nothing(fasta: Path, tmp_path: Path) -> None:
    done = command("--input", fasta, "--output", tmp_path / "out", "--model", "demo", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_dead_letters_exit_3_and_are_told(
    fasta: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fasta.write_text(GOOD + ">bad id of a digit\nMK1\n>empty\n")
    (fasta.parent / "cut.faa.gz").write_bytes(gzip.compress(GOOD.encode() * 99)[:-20])
    out = tmp_path / "out"
    assert exit_code("--input", fasta.parent, "--output", out, "--model", "demo") == 3
    said = capsys.readouterr().out
    told = ("2 records and 1 file failed", "invalid_residue", "empty_sequence", "truncated")
    for words in (*told, "cut.faa.gz"):
        assert words in said
    assert pt(out, "good")["proteins"] == ["a", "b", "c"]
    assert not (out / "pt/cut_ESM.pt").exists()
    sidecar = lines(out / "pt/good_ESM.failures.jsonl")
    assert [(d["ordinal"], d["id"], d["error_type"]) for d in sidecar] == [
        (3, "bad", "invalid_residue"),
        (4, "empty", "empty_sequence"),
    ]
    log = (out / "extraction_failures.log").read_text().splitlines()
    assert len(log) == 3
    assert all(len(line.split(" | ")) == 5 for line in log)
    found = report(out)
    assert found["exit_code"] == 3
    statuses = {f["source"]: f["status"] for f in found["files"]}
    assert statuses == {"cut.faa.gz": "failed", "good.faa": "finished"}
    # Once more: nothing is computed or written again, and the exit code is the same.
    before = read_commits(str(out))
    assert exit_code("--input", fasta.parent, "--output", out, "--model", "demo") == 3
    assert read_commits(str(out)) == before


def test_a_finished_output_needs_neither_graph_nor_model(
    fasta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = ("--input", fasta, "--output", tmp_path / "out", "--model", "demo")
    assert exit_code(*args) == 0
    monkeypatch.setattr("pipeline.execution.run_graph", lambda *_: pytest.fail("a graph was run"))
    assert exit_code(*args) == 0
    os.utime(fasta, (1, 1))  # another time, the same content
    assert exit_code(*args) == 0
    assert exit_code(*args, "--toks_per_batch", "300") == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("--residues", "strict"), "--residues was clean, now strict"),
        (("--truncation_seq_length", "5"), "--truncation_seq_length was 1024, now 5"),
        (("--dtype", "bfloat16"), "--dtype was float32, now bfloat16"),
        (("--sinks", "parquet"), "--sinks was"),
    ],
)
def test_another_configuration_is_refused(
    change: tuple[str, str], says: str, fasta: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    args = ("--input", fasta, "--output", tmp_path / "out", "--model", "demo", "--quiet")
    assert exit_code(*args) == 0
    before = rows(tmp_path / "out")
    assert exit_code(*args, *change) == 2
    error = capsys.readouterr().err
    assert says in error
    assert "--overwrite" in error
    assert rows(tmp_path / "out") == before
    # The strict policy takes the first record alone: the others have a * and small letters.
    strict = "strict" in change
    assert exit_code(*args, *change, "--overwrite") == (3 if strict else 0)
    assert len(rows(tmp_path / "out")) == (1 if strict else 3)


@pytest.mark.parametrize(
    ("held", "says"),
    [
        ({"layers": 3}, "the number of layers was 3, now 2"),
        ({"pooling": "cls"}, "the pooling was cls, now mean"),
        ({"dtype": "float16"}, "--dtype was float16, now float32"),
    ],
)
def test_no_option_is_named_that_there_is_not(held: dict[str, object], says: str) -> None:
    wanted = {"layers": 2, "pooling": "mean", "dtype": "float32"}
    with pytest.raises(ConfigurationError, match=says) as caught:
        check_same("/out", wanted | held, wanted)
    options = set(re.findall(r"--(\w+)", str(caught.value)))
    assert options <= parse_options(["--input", "i", "--output", "o"]).options.keys()


def test_other_weights_under_the_same_name_are_refused(
    fasta: Path, tmp_path: Path, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_checkpoint, model)
    args = ("--input", fasta, "--output", tmp_path / "out", "--model", model, "--quiet")
    assert exit_code(*args) == 0
    weights = bytearray((model / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (model / "model.safetensors").write_bytes(weights)
    assert exit_code(*args) == 2
    assert "weights" in capsys.readouterr().err


def test_a_file_that_has_changed_takes_the_place_of_its_old_self(
    fasta: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (fasta.parent / "other.faa").write_text(GOOD)
    args = ("--input", fasta.parent, "--output", out, "--model", "demo", "--quiet")
    fasta.write_text(GOOD + ">bad\nMK1\n")
    assert exit_code(*args) == 3
    others = [row for row in rows(out) if row["source"] == "other.faa"]
    fasta.write_text(">d\nMMM\n>a\nMKTAYIAKQR\n")
    assert exit_code(*args) == 0
    changed = [row for row in rows(out) if row["source"] == "good.faa"]
    assert [(row["ordinal"], row["id"]) for row in changed] == [(0, "d"), (1, "a")]
    assert [row for row in rows(out) if row["source"] == "other.faa"] == others
    assert pt(out, "good")["proteins"] == ["d", "a"]
    assert not list((out / "dead_letters").iterdir())
    assert not (out / "pt/good_ESM.failures.jsonl").exists()
    totals = report(out)["totals"]
    assert (totals["read"], totals["embedded_this_run"]) == (5, 2)


def test_dead_letters_are_tried_again_when_asked_for(
    fasta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    fasta.write_text(GOOD + ">bad\nMK1\n")
    broken = fasta.parent / "broken.faa.gz"
    broken.write_bytes(gzip.compress(GOOD.encode())[:-9])
    args = ("--output", out, "--model", "demo", "--quiet")
    with monkeypatch.context() as patched:
        patched.setattr("transforms.esm.passes.encode_packed", refuse_g)
        assert exit_code("--input", fasta.parent, *args) == 3
    assert [row["id"] for row in rows(out)] == ["a", "c"]
    before = rows(out)
    # Nothing has been mended: what fails fails again, and the rest is not computed again.
    monkeypatch.setattr("transforms.esm.passes.encode_packed", refuse_g)
    assert exit_code("--retry_failed", *args) == 3
    assert rows(out) == before
    assert {d["id"] for d in dead_letters(out)} == {"b", "bad", ""}
    monkeypatch.undo()
    broken.write_bytes(gzip.compress(GOOD.encode()))
    assert exit_code("--retry_failed", *args) == 3
    assert [d["id"] for d in dead_letters(out)] == ["bad"]
    assert [row["id"] for row in rows(out)] == ["a", "b", "c", "a", "b", "c"]
    assert pt(out, "good")["proteins"] == ["a", "b", "c"]
    assert report(out)["totals"]["embedded_this_run"] == 4
    fasta.write_text(GOOD)
    assert exit_code("--retry_failed", *args) == 0
    # Without dead letters there is nothing to do.
    assert exit_code("--retry_failed", *args) == 0
    assert exit_code("--retry_failed", "--output", tmp_path / "new", "--model", "demo") == 2
    assert "no output of a run" in capsys.readouterr().err


def test_a_retry_that_was_stopped_goes_on_with_the_same_command(
    fasta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, other = tmp_path / "out", fasta.parent / "other.faa"
    fasta.write_text(GOOD + ">bad\nMK1\n")
    other.write_text(">o\nMK\n")
    broken = fasta.parent / "broken.faa.gz"
    broken.write_bytes(gzip.compress(GOOD.encode())[:-9])
    args = ("--output", out, "--model", "demo")
    assert exit_code("--input", fasta.parent, *args, "--quiet") == 3
    fasta.write_text(GOOD)
    broken.write_bytes(gzip.compress(GOOD.encode()))

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        # When all that does not count any more has been taken out.
        patched.setattr("pipeline.dispatch.execute", stopped)
        assert exit_code("--retry_failed", *args) == 130
    assert len(rows(out)) == 1
    seen = {file.source: file.status for file in look(str(out)).files}
    assert seen == {
        "broken.faa.gz": "unfinished", "good.faa": "unfinished", "other.faa": "finished",
    }  # fmt: skip
    assert verified(out) == 0
    assert "good.faa: was to be embedded anew, and is not finished" in capsys.readouterr().out
    # A run with other inputs says what is missing.
    capsys.readouterr()
    assert exit_code("--input", other, *args) == 0
    said = capsys.readouterr().out
    assert "Not finished, and not among the inputs: 2 files, the first: broken.faa.gz." in said
    assert {f["status"] for f in report(out)["files"]} == {"finished", "unfinished"}
    assert verified(out) == 0
    assert exit_code("--retry_failed", *args) == 0
    assert "Not finished" not in capsys.readouterr().out
    assert [row["id"] for row in rows(out)] == ["a", "b", "c", "a", "b", "c", "o"]
    assert not (out / "commits/reopened.json").exists()


def verified(out: Path) -> int:
    return exit_code_of(verify.main, out, "--sample", 0)


def test_a_failed_file_that_is_gone_does_not_keep_others_from_being_tried_again(
    fasta: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fasta.write_text(GOOD + ">bad\nMK1\n")
    gone = fasta.parent / "gone[ab].faa"
    gone.write_bytes(gzip.compress(GOOD.encode())[:-9])
    args = ("--output", tmp_path / "out", "--model", "demo")
    assert exit_code("--input", fasta.parent, *args, "--quiet") == 3
    gone.unlink()
    (fasta.parent / "gonea.faa").write_text(GOOD)
    fasta.write_text(GOOD)
    assert exit_code("--retry_failed", *args) == 3
    assert [(d["source"], d["ordinal"]) for d in dead_letters(tmp_path / "out")] == [
        ("gone[ab].faa", None)
    ]
    assert len(rows(tmp_path / "out")) == 3
    assert exit_code("--retry_failed", *args) == 3
    said = capsys.readouterr()
    assert f"Not tried again, for it is gone: {gone}" in said.err
    assert "every file is finished" not in said.out.split("now holds")[-2]


def refuse_g(sequences: Sequence[str]) -> object:
    if any("G" in sequence for sequence in sequences):
        raise ValueError("not today")
    return encode_packed(sequences)


def test_a_committed_file_that_is_gone_is_missed(
    fasta: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ("--input", fasta, "--output", tmp_path / "out", "--model", "demo", "--quiet")
    assert exit_code(*args) == 0
    (part,) = (tmp_path / "out/embeddings").iterdir()
    part.unlink()
    assert exit_code(*args) == 2
    assert f"{part} was committed and is gone" in capsys.readouterr().err
    assert exit_code(*args, "--overwrite") == 0
    assert len(rows(tmp_path / "out")) == 3


@pytest.mark.parametrize(
    ("names", "content"),
    [
        ("commits/part-*", b"{"),
        ("commits/files-*", b"[1]"),
        ("dead_letters/*", b"{"),
        ("dead_letters/*", None),
    ],
)
def test_overwrite_begins_anew_whatever_is_damaged(
    names: str, content: bytes | None, fasta: Path, tmp_path: Path
) -> None:
    fasta.write_text(f"{GOOD}>bad\nM7\n")
    out = tmp_path / "out"
    args = ("--input", fasta, "--output", out, "--model", "demo", "--quiet")
    assert exit_code(*args) == 3
    (out / "pt/mine.txt").write_text("kept")
    for path in out.glob(names):
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
    assert exit_code(*args) in (1, 2)
    assert exit_code(*args, "--overwrite") == 3
    assert (out / "pt/mine.txt").read_text() == "kept"
    (out / "pt/mine.txt").unlink()
    assert exit_code_of(verify.main, out, "--sample", "0") == 0
    assert len(rows(out)) == 3


def test_damage_that_shows_at_the_end_is_told_with_what_is_safe(
    fasta: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_damage(*_: object) -> None:
        raise damaged("commits/part-x.json")

    monkeypatch.setattr("pipeline.execution.tidy", find_damage)
    out = tmp_path / "out"
    assert exit_code("--input", fasta, "--output", out, "--model", "demo") == 1
    told = capsys.readouterr()
    assert "part-x.json is damaged" in told.out + told.err
    assert report(out)["totals"]["embedded"] == 3


def test_weights_that_cannot_be_loaded_show_before_anything_is_deleted(
    fasta: Path, tmp_path: Path, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = copy_checkpoint(tiny_checkpoint, tmp_path / "model", num_hidden_layers=3)
    args = ("--input", fasta, "--output", tmp_path / "out", "--quiet", "--model")
    assert exit_code(*args, "demo") == 0
    before = rows(tmp_path / "out")
    assert exit_code(*args, model, "--overwrite") == 2
    assert "do not fit its config.json" in capsys.readouterr().err
    assert rows(tmp_path / "out") == before
    assert exit_code(*args, "demo") == 0


@pytest.mark.parametrize("more", [(), ("--overwrite",)])
def test_after_an_interrupted_overwrite_the_command_with_it_or_without_carries_on(
    more: tuple[str, ...], fasta: Path, tmp_path: Path
) -> None:
    args = ("--input", fasta, "--output", tmp_path / "out", "--model", "demo", "--quiet")
    theirs = tmp_path / "out/pt/mine.txt"
    for last in range(8):
        assert exit_code(*args, "--overwrite") == 0
        theirs.write_text("kept")
        with dying(last, "transforms.storage.delete", error=KeyboardInterrupt()):
            exit_code(*args, "--overwrite")
        left = read_commits(str(tmp_path / "out"))
        assert left.parts or not left.files  # no file is finished whose rows are gone
        assert exit_code(*args, *more) == 0
        assert len(rows(tmp_path / "out")) == 3
        assert pt(tmp_path / "out", "good")["proteins"] == ["a", "b", "c"]
        assert theirs.read_text() == "kept"


def test_overwrite_forgets_what_was_to_be_embedded_anew(fasta: Path, tmp_path: Path) -> None:
    args = ("--input", fasta, "--output", tmp_path / "out", "--model", "demo", "--quiet")
    assert exit_code(*args) == 0
    note_reopened(str(tmp_path / "out"), ["other.faa"])
    assert exit_code(*args, "--overwrite") == 0
    assert [f["source"] for f in report(tmp_path / "out")["files"]] == ["good.faa"]


def test_an_output_that_another_run_begins_in_this_moment_is_left_alone(
    fasta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def begun_meanwhile(root: str, *rest: object) -> object:
        # All of it fits between the look at a new output and its lock.
        monkeypatch.undo()
        assert exit_code(*args) == 0
        return lock_output(root, *rest)

    args = ("--input", fasta, "--output", tmp_path / "out", "--model", "demo", "--quiet")
    monkeypatch.setattr("pipeline.opening.lock_output", begun_meanwhile)
    assert exit_code(*args) == 2
    assert "Another run has begun" in capsys.readouterr().err
    assert report(tmp_path / "out")["totals"]["embedded_this_run"] == 3
    assert exit_code(*args) == 0


@pytest.mark.parametrize("folder", ["embeddings", "dead_letters"])
def test_a_committed_file_that_is_damaged_is_named(
    folder: str, fasta: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fasta.write_text(GOOD + ">bad\nMK1\n")
    args = ("--input", fasta, "--output", tmp_path / "out", "--model", "demo", "--quiet")
    assert exit_code(*args) == 3
    (part,) = (tmp_path / "out" / folder).iterdir()
    whole = part.read_bytes()
    part.write_bytes(whole[:-10])
    (fasta.parent / "more.faa").write_text(GOOD)
    assert exit_code(*args, "--retry_failed") == 2
    assert f"{part} is damaged" in capsys.readouterr().err
    part.write_bytes(whole)
    assert exit_code(*args, "--retry_failed") == 3
    assert len(rows(tmp_path / "out")) == 3


def test_after_something_was_committed_what_cannot_be_read_is_a_failure_and_no_refusal(
    fasta: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fasta.write_text(GOOD + ">bad\nMK1\n")
    out = tmp_path / "out"
    args = ("--input", fasta.parent, "--output", out, "--model", "demo", "--quiet")
    assert exit_code(*args) == 3
    before = report(out)
    (letters,) = (out / "dead_letters").iterdir()
    with letters.open("a") as handle:
        handle.write("x\n")
    (fasta.parent / "more.faa").write_text(GOOD)
    with heard(events.RunEnded) as ended:
        assert exit_code(*args) == 1
    said = capsys.readouterr().err
    assert f"{letters} is damaged" in said
    assert f"what is committed in {out} is safe. The same command carries on" in said
    assert (out / "pt/more_ESM.pt").exists()
    assert report(out) == before
    assert [event.exit_code for event in ended] == [1]


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ("pipeline.ending.write_report", "Stopped. What was committed stays"),
        ("pipeline.opening.list_files", "Stopped before anything was embedded."),
    ],
)
def test_who_stops_a_run_is_told_whether_anything_was_embedded(
    when: str,
    told: str,
    fasta: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(when, stopped)
    args = ("--input", fasta, "--output", tmp_path / "out", "--model", "demo", "--quiet")
    assert exit_code(*args) == 130
    assert capsys.readouterr().err.startswith(told)


def test_what_stopped_the_graph_is_told_though_the_output_cannot_be_read() -> None:
    def make(failure: str | None) -> Report:
        raise ConfigurationError("x.jsonl is damaged")

    found = report_or_fail(make, "The device is lost.")
    assert found.failure.startswith("The device is lost. What the output holds now")
    assert found.failure.endswith("x.jsonl is damaged")


def test_a_broken_file_that_is_replaced_gets_its_new_reason_or_its_vectors(
    tmp_path: Path,
) -> None:
    path, out = tmp_path / "x.faa", tmp_path / "out"
    args = ("--input", path, "--output", out, "--model", "demo", "--quiet")
    path.write_bytes(gzip.compress(GOOD.encode())[:-9])
    assert exit_code(*args) == 3
    assert "truncated" in (out / "extraction_failures.log").read_text()
    path.write_text("<html>404</html>")
    assert exit_code(*args) == 3
    (line,) = (out / "extraction_failures.log").read_text().splitlines()
    assert "not_fasta" in line
    path.write_text(GOOD)
    assert exit_code(*args) == 0
    assert (out / "extraction_failures.log").read_text() == ""
    assert len(rows(out)) == 3


def test_a_file_keeps_its_name_whichever_patterns_later_runs_have(
    fasta: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ("--output", tmp_path / "out", "--model", "demo", "--quiet", "--input")
    assert exit_code(*args, fasta.parent) == 0
    (fasta.parent / "sub").mkdir()
    (fasta.parent / "sub/good.faa").write_text(">d\nMKL\n")
    assert exit_code(*args, fasta.parent / "sub") == 0
    assert {row["source"] for row in rows(tmp_path / "out")} == {"good.faa", "sub/good.faa"}
    assert report(tmp_path / "out")["totals"]["embedded_this_run"] == 1
    (tmp_path / "elsewhere.faa").write_text(GOOD)
    assert exit_code(*args, tmp_path / "elsewhere.faa") == 2
    assert "below the input root" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--input", "{in}/nothing*.faa"), "nothing*.faa"),
        (("--input", "{in}/good.faa", "--model", "./nowhere"), "no directory ./nowhere"),
        (("--input", "{in}/good.faa", "--model", "{in}"), "config.json"),
        (("--input", "{in}/good.faa", "--device", "cuda:99"), "--device cuda:99"),
        (("--input", "{in}/good.faa", "--expected_dim", "1280"), "--expected_dim is 1280"),
        (("--input", "{in}/good.faa", "--output", "{in}/good.faa/out"), "another --output"),
        (("--input", "{in}/good.faa", "--input", "{in}/good.fasta"), "good.fasta"),
        (("--input", "{in}/good.faa", "--toks_per_batch", "-3"), "at least 1"),
        (("--input", "{in}/good.faa", "--input_root", "/elsewhere"), "/elsewhere"),
        (("--input", "{in}/good.faa", "--runner", "Bogus"), "--runner Bogus"),
        (("--input", "nosuch://bucket/a.faa"), "nosuch://bucket/a.faa"),
        (("--input", "{in}/good.faa", "--output", "nosuch://bucket/out"), "another --output"),
        (("--input", "{in}/good.faa", "--output", ""), "--output is needed"),
        (("--input", "{in}/good.faa", "{in}/good.fasta"), "quote the pattern"),
        (("--inptu", "{in}/good.faa"), "Unknown option --inptu"),
    ],
)
def test_checks_before_any_reading_exit_2_with_one_sentence(
    args: tuple[str, ...], says: str, fasta: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    fasta.with_suffix(".fasta").write_text(GOOD)
    given = [arg.replace("{in}", str(fasta.parent)) for arg in args]
    defaults = ["--output", str(tmp_path / "out"), "--model", "demo"]
    assert exit_code(*defaults, *given) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert says in error
    assert not (tmp_path / "out" / "commits").exists()


def test_two_inputs_of_one_name_are_refused(
    fasta: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fasta.with_suffix(".fasta").write_text(GOOD)
    args = ("--output", tmp_path / "out", "--model", "demo", "--quiet", "--input")
    assert exit_code(*args, fasta.parent) == 2
    assert "good.fasta" in capsys.readouterr().err
    # Also when the other came with an earlier run.
    assert exit_code(*args, fasta) == 0
    assert exit_code(*args, fasta.with_suffix(".fasta")) == 2
    assert "good.faa" in capsys.readouterr().err


def test_a_folder_that_is_called_as_a_pt_may_be_is_refused(
    fasta: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = fasta.with_name("good_ESM.pt")
    folder.mkdir()
    (folder / "other.faa").write_text(GOOD)
    args = ("--input", fasta.parent, "--model", "demo", "--quiet", "--output")
    assert exit_code(*args, tmp_path / "out") == 2
    assert "Rename good_ESM.pt" in capsys.readouterr().err
    assert exit_code(*args, tmp_path / "parquet", "--sinks", "parquet") == 0


def test_a_name_that_leaves_no_room_for_that_of_its_failures_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    longest, longer = ("x" * n + ".faa" for n in (255 - len("_ESM.failures.jsonl"), 237))
    args = ("--output", tmp_path / "out", "--model", "demo", "--quiet")
    (tmp_path / longest).write_text(">a\nMK\n>b\nM1\n")
    (tmp_path / longer).write_text(">a\nMK\n>b\nM1\n")
    assert exit_code("--input", tmp_path, *args) == 2
    assert f"{longer} would have a name of 256 bytes" in capsys.readouterr().err
    assert exit_code("--input", tmp_path / longest, *args) == 3
    parquet = ("--output", tmp_path / "parquet", "--sinks", "parquet")
    assert exit_code("--input", tmp_path, *args[2:], *parquet) == 3


def test_a_folder_that_cannot_be_looked_into_is_not_passed_over(
    fasta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shut = fasta.parent / "shut"
    shut.mkdir()
    scandir = os.scandir

    def scanning(path: str) -> object:
        if path == str(shut):  # a superuser may look into everything
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scanning)
    args = ("--output", tmp_path / "out", "--model", "demo", "--quiet")
    for pattern in (fasta.parent, fasta.parent / "**/*.faa"):
        assert exit_code("--input", pattern, *args) == 2
        assert f"{shut}: Permission denied" in capsys.readouterr().err
    assert exit_code("--input", fasta.parent / "*.faa", *args) == 0


def test_a_folder_of_something_else_is_not_taken_for_an_output(
    fasta: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = tmp_path / "out/embeddings/part-0.parquet"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("precious")
    args = ("--input", fasta, "--output", tmp_path / "out", "--model", "demo")
    for more in ((), ("--overwrite",)):
        assert exit_code(*args, *more) == 2
        assert "something else" in capsys.readouterr().err
        assert theirs.read_text() == "precious"


def test_without_network_a_hub_model_is_refused_and_nothing_else_taken(
    fasta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert exit_code("--input", fasta, "--output", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "Synthyra/FastESM2_650" in error
    assert "--model demo" in error
    assert not (tmp_path / "out").exists()
    args = ("--input", fasta, "--output", tmp_path / "out")
    assert exit_code(*args, "--model", "demo", "--quiet") == 0
    capsys.readouterr()
    assert exit_code(*args) == 2
    error = capsys.readouterr().err
    assert "was made with --model demo, not Synthyra/FastESM2_650. Give that --model" in error


def write_many(folder: Path, files: int, records: int) -> None:
    draw = random.Random(0)
    folder.mkdir()
    for n in range(files):
        text = "".join(
            f">f{n}_{i}\n{''.join(draw.choices('ACDEFGHIKLMNPQRSTVWY', k=draw.randrange(5, 90)))}\n"
            for i in range(records)
        )
        (folder / f"f{n}.faa").write_text(text)


def started(*args: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", *map(str, args)],
        cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for_parts(process: subprocess.Popen[str], output: Path, count: int) -> None:
    while len(list((output / "commits").glob("part-*"))) < count:
        assert process.poll() is None, "the run ended before it could be stopped"
        time.sleep(0.01)


def comparable(output: Path) -> list[tuple[object, ...]]:
    return [(r["source"], r["ordinal"], r["id"], r["sequence_sha256"]) for r in rows(output)]


@pytest.mark.slow
def test_killed_in_the_middle_the_same_command_carries_on(tmp_path: Path) -> None:
    write_many(tmp_path / "in", files=8, records=700)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    args = ("--input", tmp_path / "in", "--model", "demo", "--quiet", "--output")
    assert exit_code(*args, whole) == 0
    process = started(*args, broken)
    wait_for_parts(process, broken, 2)
    held = read_holder(str(broken), "all")
    assert held.pid == process.pid
    process.kill()
    process.wait()
    before = read_commits(str(broken)).parts
    embedded_before = sum(each.rows for part in before.values() for each in part.sources.values())
    assert 0 < embedded_before < 8 * 700
    assert exit_code(*args, broken) == 0
    after = read_commits(str(broken)).parts
    assert before.items() <= after.items()
    totals = report(broken)["totals"]
    assert totals["embedded_this_run"] == 8 * 700 - embedded_before
    assert comparable(broken) == comparable(whole)
    for n in range(8):
        one, other = (pt(output, f"f{n}") for output in (whole, broken))
        assert one["proteins"] == other["proteins"]
        for left, right in zip(one["data"], other["data"], strict=True):
            torch.testing.assert_close(left, right, atol=1e-5, rtol=0)
    assert len(list((broken / "embeddings").iterdir())) == len(after)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_drains_and_the_same_command_carries_on(
    number: signal.Signals, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_many(tmp_path / "in", files=8, records=300)
    args = ("--input", tmp_path / "in", "--model", "demo", "--output", tmp_path / "out")
    with at_each(events.PartCommitted, once(lambda _: os.kill(os.getpid(), number))):
        assert exit_code(*args) == code
    said = capsys.readouterr().err
    assert "carries on" in said
    assert "Traceback" not in said
    assert report(tmp_path / "out")["exit_code"] == code
    assert 0 < len(rows(tmp_path / "out")) < 8 * 300
    assert exit_code(*args) == 0
    assert len(comparable(tmp_path / "out")) == len(set(comparable(tmp_path / "out"))) == 8 * 300


def test_a_second_run_at_once_is_refused_and_told_of_the_first(
    fasta: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ("--input", fasta, "--output", tmp_path / "out", "--model", "demo", "--quiet")
    (tmp_path / "out").mkdir()
    with hold(str(tmp_path / "out"), "one"):
        for more in ((), ("--overwrite",)):
            assert exit_code(*args, *more) == 2
            assert f"(run one, process {os.getpid()} on " in capsys.readouterr().err
    assert exit_code(*args) == 0


def test_a_run_whose_output_another_one_has_taken_over_leaves_it_alone(
    fasta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    root = str(tmp_path / "out")
    args = ("--input", fasta, "--output", root, "--model", "demo", "--quiet")

    def suspended(*_: object) -> dict[str, int]:
        held = read_holder(root, "all")
        write_holder(root, replace(held, run="second"))
        (tmp_path / "out/.staging").mkdir(exist_ok=True)
        (tmp_path / "out/.staging/theirs").touch()
        return {}

    with monkeypatch.context() as patched:
        patched.setattr("pipeline.execution.run_graph", suspended)
        assert exit_code(*args) == 1
    error = capsys.readouterr().err
    assert f"error: Another run has taken {root} over (run second, process" in error
    assert (tmp_path / "out/.staging/theirs").exists()
    assert not (tmp_path / "out/run_report.json").exists()
    held = read_holder(root, "all")
    assert (held.run, held.released) == ("second", False)


def test_the_heartbeat_of_a_quiet_run_tells_its_progress(fasta: Path, tmp_path: Path) -> None:
    args = ("--input", fasta, "--output", tmp_path / "out", "--model", "demo", "--quiet")
    assert exit_code(*args) == 0
    held = read_holder(str(tmp_path / "out"), "all")
    assert held.released
    assert held.progress["records"] == 3
    # A terminal * is counted as the file is opened, and not embedded.
    assert (held.progress["residues"], held.progress["residues_total"]) == (19, 20)
    assert held.progress["files_done"] == held.progress["files"] == 1


@pytest.mark.slow
@needs_shared
def test_the_first_pt_is_there_before_half_of_the_records_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The real records, their sequences shortened: here their number counts, not their length.
    records = list(parse_fasta([gzip.decompress(LARGE.read_bytes())]))
    assert len(records) == 19_789
    (tmp_path / "in").mkdir()
    for n in range(20):
        text = "".join(
            f">{r.id}\n{(r.sequence or '')[:20]}\n" for r in records[n * 990 : (n + 1) * 990]
        )
        (tmp_path / f"in/f{n:02}.faa").write_text(text)
    count = 0
    counts_at_pt: list[int] = []

    def counting(chunks: Iterator[bytes]) -> Iterator[FastaRecord]:
        nonlocal count
        for record in parse_fasta(chunks):
            count += 1
            yield record

    def note(event: events.FileFinished) -> None:
        assert (tmp_path / "out" / pt_name(event.source)).exists()
        counts_at_pt.append(count)

    monkeypatch.setattr(reading, "parse_fasta", counting)
    args = ["--input", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--model", "demo"]
    with at_each(events.FileFinished, note):
        assert dispatch(parse_options([*args, "--quiet"])) == 0
    assert count == 19_789
    assert len(counts_at_pt) == 20
    assert counts_at_pt[0] < 19_789 / 2


def test_every_compression_and_line_end_gives_equal_vectors(tmp_path: Path) -> None:
    text = "".join(f">p{i} x\n{'ACDEFGHIKLMNPQRSTVWY'[i % 7 :]}\nMKTAYI\n" for i in range(40))
    plain = text.encode()
    blocks = [gzip.compress(plain[i : i + 200]) for i in range(0, len(plain), 200)]
    forms = {
        "plain.faa": plain,
        "gz.faa": gzip.compress(plain),
        "bgz.faa": b"".join(blocks),
        "bz2.faa": bz2.compress(plain),
        "xz.faa": lzma.compress(plain),
        "zst.faa": zstandard.ZstdCompressor().compress(plain),
        "crlf.faa": plain.replace(b"\n", b"\r\n"),
        "cr.faa": plain.replace(b"\n", b"\r"),
    }
    (tmp_path / "in").mkdir()
    for name, data in forms.items():
        (tmp_path / "in" / name).write_bytes(data)
    args = ("--input", tmp_path / "in", "--output", tmp_path / "out", "--model", "demo", "--quiet")
    assert exit_code(*args) == 0
    expected = pt(tmp_path / "out", "plain")
    assert len(expected["proteins"]) == 40
    for name in forms:
        found = pt(tmp_path / "out", name.removesuffix(".faa"))
        assert found["proteins"] == expected["proteins"]
        for vector, other in zip(found["data"], expected["data"], strict=True):
            torch.testing.assert_close(vector, other, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_a_sequence_of_70_000_residues_is_used_whole_in_windows(tmp_path: Path) -> None:
    sequence = "".join(random.Random(70).choices("ACDEFGHIKLMNPQRSTVWY", k=70_000))
    (tmp_path / "long.faa").write_text(f">long\n{sequence}\n>short\nMKTAYI\n")
    out = tmp_path / "out"
    args = ("--input", tmp_path / "long.faa", "--output", out, "--model", "demo", "--quiet")
    assert exit_code(*args, "--long_sequences", "window") == 0
    long, short = rows(out)
    assert (long["residues_used"], long["truncated"]) == (70_000, False)
    assert short["residues_used"] == 6
    model = load_encoder(find_checkpoint("demo"), "float32", "cpu").double()
    total = torch.zeros(128, dtype=torch.float64)
    for window in cut_windows(70_000, 1024):
        ids = torch.from_numpy(encode(sequence[window.start : window.stop]))[None]
        with torch.inference_mode():
            hidden = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        first, last = 1 + window.first - window.start, 1 + window.last - window.start
        total += hidden[0, first:last].sum(0)
    expected = total / 70_000
    found = torch.tensor(long["embedding"], dtype=torch.float64)
    assert (found - expected).abs().max() / expected.square().mean().sqrt() < 1e-5


def test_a_name_that_is_taken_by_now_keeps_no_other_file_from_being_tried_again(
    fasta: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    args = ("--output", out, "--model", "demo")
    other = fasta.with_name("other.faa")
    for path in (fasta, other):
        path.write_text("no FASTA")
    assert exit_code("--input", fasta.parent, *args) == 3
    fasta.with_suffix(".fasta").write_text(GOOD)
    assert exit_code("--input", fasta.with_suffix(".fasta"), *args) == 3
    other.write_text(GOOD)
    fasta.write_text(GOOD)
    assert exit_code("--retry_failed", *args) == 3
    assert "Not tried again: " in (said := capsys.readouterr().err)
    assert "good.faa" in said
    assert [row["id"] for row in rows(out)] == ["a", "b", "c"] * 2
    assert pt(out, "other")["proteins"] == ["a", "b", "c"]


def test_what_was_measured_stays_where_there_was_nothing_for_the_model(
    fasta: Path, tmp_path: Path
) -> None:
    """A file that failed is read by every run."""
    fasta.with_name("broken.faa.gz").write_bytes(gzip.compress(GOOD.encode())[:-9])
    out = tmp_path / "out"
    args = ("--input", fasta.parent, "--output", out, "--model", "demo", "--quiet")
    assert exit_code(*args) == 3
    first = report(out)
    assert first["metrics"]["passes"] > 0
    assert exit_code(*args) == 3
    for name in ("metrics", "pace", "measured_in"):
        assert report(out)[name] == first[name]
