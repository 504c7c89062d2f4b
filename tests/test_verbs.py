"""What all verbs do alike: exit codes, errors, and readers that have seen enough."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import pytest

from pipeline import compact, export, finish, plan, run, search, status, verify
from pipeline.compaction import compact_output
from pipeline.overview import look
from pipeline.terminal import complain, refuse_python
from tests.command import embed, exit_code_of
from tests.processes import REPO
from transforms.errors import LostError

Main = Callable[[Sequence[str] | None], NoReturn]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verbs")
    (folder / "a.fa").write_text(">a\nMKTAYIAKQR\n>b\nGGGSSS\n")
    assert embed(folder / "a.fa", folder / "out") == 0
    return folder / "out"


@pytest.mark.parametrize(
    ("main", "args"),
    [
        (run.main, ("--output", "{out}", "--input", "{out}/../a.fa", "--model", "demo")),
        (plan.main, ("--input", "{out}/../a.fa", "--model", "demo")),
        (status.main, ("{out}",)),
        (status.main, ("{out}", "--json")),
        (verify.main, ("{out}", "--sample", "0")),
        (verify.main, ("{out}", "--sample", "0", "--json")),
        (compact.main, ("{out}",)),
        (finish.main, ("{out}",)),
        (search.main, ("{out}", "--id", "a")),
        (export.main, ("{out}", "--to", "npz", "--out", "{new}/rows.npz")),
    ],
)
def test_a_reader_that_has_seen_enough_is_no_error(
    main: Main,
    args: Sequence[str],
    output: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as closed:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", closed)
        code = exit_code_of(main, *(arg.format(out=output, new=tmp_path) for arg in args))
        monkeypatch.undo()
    assert code == 0
    assert "error" not in capsys.readouterr().err


def test_a_path_does_not_reach_the_terminal_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of(status.main, "/no\x1b[2Jwhere") == 2
    assert capsys.readouterr().err.startswith(r"error: /no\x1b[2Jwhere is not")


@pytest.mark.parametrize("error", ["It is gone", "It is gone."])
def test_a_sentence_that_goes_on_has_one_full_stop(
    error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    complain(error, "The rest stays.")
    assert capsys.readouterr().err == "error: It is gone. The rest stays.\n"


@pytest.mark.parametrize("error", [OSError(28, "No space left"), LostError("Another has it.")])
def test_what_fails_on_the_way_exits_1_and_says_what_is_left(
    error: Exception,
    output: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(f"{compact_output.__module__}.compact_output", fail)
    assert exit_code_of(compact.main, output) == 1
    told = str(error).removesuffix(".")
    assert capsys.readouterr().err == f"error: {told}. What was merged stays.\n"


def test_an_output_that_may_not_be_read_is_no_traceback(
    output: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "dead_letters")

    monkeypatch.setattr(f"{look.__module__}.iterate_dead_letters", refuse)
    assert exit_code_of(status.main, output) == 2
    assert f"{output} cannot be read ([Errno 13] Permission denied" in capsys.readouterr().err


@pytest.mark.parametrize("main", [status.main, verify.main, compact.main, finish.main])
def test_an_output_that_may_not_be_looked_into_is_not_taken_for_none(
    main: Main,
    output: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scan, exists = os.scandir, os.path.exists
    shut = str(output / "commits")

    def scandir(path: str) -> object:
        if path == shut:  # a superuser may look into everything
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(os.path, "exists", lambda path: f"{shut}/" not in path and exists(path))
    assert exit_code_of(main, output) == 2
    assert f"{output} cannot be read ([Errno 13] Permission denied" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["", ".status", ".plan"])
def test_a_python_without_our_packages_is_told_in_a_sentence(verb: str) -> None:
    # -S leaves out what is installed, as a Python has it that is not the one of .venv.
    command = [sys.executable, "-S", "-m", f"pipeline{verb}"]
    args = ["--input", "examples"] if verb != ".status" else ["out"]
    done = subprocess.run([*command, *args], cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert re.fullmatch(r"error: \w+ is not installed in .*\.venv/bin/python\b.*\n", done.stderr)


def test_a_module_of_ours_that_is_missing_is_no_matter_of_the_python() -> None:
    with pytest.raises(ModuleNotFoundError):
        refuse_python(ModuleNotFoundError("gone", name="pipeline.gone"))
