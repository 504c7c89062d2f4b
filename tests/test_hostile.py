"""Surroundings that do harm: full disks, folders that vanish, files that change, processes killed.

Each ends with a clear message and an exit code, and the same command carries on afterwards.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.command import embed
from tests.faults.outcome import read_outcome
from tests.outputs import pt, report
from tests.waiting import at_each, heard
from transforms import events, storage
from transforms.inputs import reading, stopping
from transforms.output.holders import read_holder, write_holder

RECORDS = 300


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """Three files of a hundred records each."""
    folder = tmp_path / "in"
    folder.mkdir()
    for n in range(3):
        text = "".join(f">f{n}_{i}\n{'ACDEFGHIKLMNPQ'[i % 9 :]}\n" for i in range(100))
        (folder / f"f{n}.faa").write_text(text)
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def exit_code(inputs: Path, out: Path, *more: str) -> int:
    return embed(inputs, out, "--checkpoint_seconds", "1e-9", "--toks_per_batch", "30", *more)


def check_carried_on(inputs: Path, out: Path) -> None:
    assert exit_code(inputs, out) == 0
    outcome = read_outcome(out)
    keys = [(row["source"], row["ordinal"]) for row in outcome.rows]
    assert len(keys) == len(set(keys)) == RECORDS
    assert [len(ids) for ids, _ in outcome.pts.values()] == [100, 100, 100]


class Full:
    """A disk that has room for so many files more."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._fsync = os.fsync

    def fsync(self, descriptor: int) -> None:
        if not os.path.isdir(f"/proc/self/fd/{descriptor}"):
            if self.room == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.room -= 1
        self._fsync(descriptor)


@pytest.mark.parametrize("room", [0, 1, 2, 3, 4, 5, 6, 9, 12, 15, 20])
def test_a_full_disk(
    room: int, inputs: Path, out: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", Full(room).fsync)
        code = exit_code(inputs, out)
    said = capsys.readouterr().err
    # The first two are a trial and what binds the output: without them nothing runs.
    assert code == (2 if room < 2 else 1)
    assert "No space left on device" in said
    assert "Traceback" not in said
    check_carried_on(inputs, out)


def test_an_output_that_cannot_be_written(
    inputs: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out.mkdir()

    def refuse(path: str, *args: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "mkdir", refuse)
        assert exit_code(inputs, out) == 2
    error = capsys.readouterr().err
    assert "Read-only file system" in error
    assert error.count("\n") == 1
    assert os.listdir(out) == []


def test_an_output_that_vanishes_is_not_made_anew(
    inputs: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with heard(events.PartCommitted) as parts:
        second = at_each(events.PartCommitted, lambda _: len(parts) == 2 and shutil.rmtree(out))
        with second:
            assert exit_code(inputs, out) == 1
    assert len(parts) == 2
    error = capsys.readouterr().err
    assert "The output folder is gone" in error
    assert f"Put {out} back where it was" in error
    assert "carries on" not in error
    assert "Traceback" not in error
    assert not out.exists()
    check_carried_on(inputs, out)


def test_a_run_that_has_lost_its_lock_commits_nothing_more(
    inputs: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def take_over(_: events.PartCommitted) -> None:
        write_holder(str(out), replace(read_holder(str(out), "all"), run="second"))

    with at_each(events.PartCommitted, take_over):
        assert exit_code(inputs, out) == 1
    assert "Another run has taken" in capsys.readouterr().err
    assert len(list((out / "commits").glob("part-*"))) == 1
    (out / ".locks/all.json").unlink()
    check_carried_on(inputs, out)


def change_while_read(monkeypatch: pytest.MonkeyPatch, path: Path, change: Any) -> None:
    """Lets something happen to a file between its two passes."""
    open_chunks, opened = storage.open_chunks, []

    def opening(url: str, *args: Any, **part: int) -> Iterator[bytes]:
        if url == str(path) and not (args or part):  # with a size it is only looked into
            opened.append(url)
            if len(opened) == 2:
                change()
        return open_chunks(url, *args, **part)

    monkeypatch.setattr(storage, "open_chunks", opening)
    monkeypatch.setattr(reading, "HELD_BYTES", 0)  # so that it is read twice


def grow(path: Path) -> None:
    with path.open("a") as handle:
        handle.write(">late\nMK\n")


@pytest.mark.parametrize(
    ("change", "reason"), [(grow, "changed"), (Path.unlink, "unreadable")], ids=["grows", "goes"]
)
def test_an_input_that_changes_while_it_is_read_costs_no_other_file(
    change: Any, reason: str, inputs: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = inputs / "f1.faa"
    text = path.read_text()
    with monkeypatch.context() as patched:
        change_while_read(patched, path, lambda: change(path))
        assert exit_code(inputs, out) == 3
    outcome = read_outcome(out)
    assert {row["source"] for row in outcome.rows} == {"f0.faa", "f2.faa"}
    assert [(d["source"], d["ordinal"], d["error_type"]) for d in outcome.dead_letters] == [
        ("f1.faa", None, reason)
    ]
    assert sorted(outcome.pts) == ["f0_ESM.pt", "f2_ESM.pt"]
    assert {f["source"]: f["status"] for f in report(out)["files"]}["f1.faa"] == "failed"
    path.write_text(text)
    check_carried_on(inputs, out)
    assert read_outcome(out).dead_letters == []


def test_a_file_edited_before_it_is_read_is_not_mixed_with_its_committed_records(
    inputs: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = inputs / "f1.faa"
    with heard(events.PartCommitted) as parts:

        def stop(_: events.PartCommitted) -> None:
            if sum(part.rows for part in parts) > 120:
                stopping.request_stop()

        with at_each(events.PartCommitted, stop):
            assert exit_code(inputs, out) == 1
    sources = [row["source"] for row in read_outcome(out).rows]
    assert 0 < sources.count("f1.faa") < 100
    with monkeypatch.context() as patched:
        # The first time is to find out whether it has changed.
        change_while_read(patched, path, lambda: path.write_text(">new\nMKV\n"))
        assert exit_code(inputs, out) == 3
    outcome = read_outcome(out)
    assert {row["source"] for row in outcome.rows} == {"f0.faa", "f2.faa"}
    assert [d["error_type"] for d in outcome.dead_letters] == ["changed"]
    assert exit_code(inputs, out) == 0
    assert [r["id"] for r in read_outcome(out).rows if r["source"] == "f1.faa"] == ["new"]


def test_thousands_of_tiny_files(tmp_path: Path, out: Path) -> None:
    inputs = tmp_path / "in"
    for n in range(1000):
        path = inputs / f"d{n % 10}" / f"f{n}.faa"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f">p{n}\n{'ACDEFGHIKL'[n % 7 :]}\n")
    assert exit_code(inputs, out, "--checkpoint_seconds", "60", "--toks_per_batch", "2048") == 0
    assert len(list((out / "pt").rglob("*_ESM.pt"))) == 1000
    assert pt(out, "d7/f77")["proteins"] == ["p77"]
    # They share parts and records.
    assert len(list((out / "embeddings").iterdir())) < 10
