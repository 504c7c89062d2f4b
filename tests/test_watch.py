"""Tests of ``--watch``, in this process: one thread feeds the folder while the command runs."""

from __future__ import annotations

import gzip
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline import continuing
from pipeline.run import main
from pipeline.run_report import Report, report_run
from pipeline.runners import GraphError
from pipeline.watching import rounds as watch
from tests.command import exit_code_of
from tests.faults.outcome import read_outcome
from tests.outputs import pt, report
from tests.waiting import SECONDS_TO_HANG, feeding, heard, stop, wait_for
from transforms import events, skipping, storage
from transforms.esm.loaded import LoadedModels
from transforms.inputs import reading
from transforms.inputs.finding import Listing, find_fasta
from transforms.output.commits import Commits, read_commits
from transforms.output.locks import HeldError, hold

GOOD = ">a\nMKTAYIAKQR\n>b\nGGGSSS\n"
OTHER = ">x\nMKVLAAGLLK\n"


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out"


def exit_code(inputs: Path | str, output: Path, *more: object, stop_after: float = 0.5) -> int:
    """Runs a watch in this process until nothing comes any more."""
    args = ["--watch", "--input", inputs, "--output", output, "--model", "demo", "--quiet"]
    args += ["--poll_seconds", 0.1, "--stop_after", stop_after, *more]
    return exit_code_of(main, *args)


def ids(output: Path, name: str) -> list[str]:
    return list(pt(output, name)["proteins"])


def finished(output: Path) -> list[str]:
    return sorted(read_commits(str(output)).files)


def test_what_comes_is_embedded_once_it_is_whole(tmp_path: Path, output: Path) -> None:
    inputs = tmp_path / "later"

    def feed() -> None:
        wait_for((output / "commits/output.json").exists)
        inputs.mkdir()
        (inputs / "a.fa").write_text(GOOD)
        (inputs / "b.fa.part").write_text(OTHER)
        (inputs / ".c.fa").write_text(OTHER)
        wait_for((output / "pt/a_ESM.pt").exists)
        (inputs / "b.fa.part").rename(inputs / "b.fa")
        wait_for((output / "pt/b_ESM.pt").exists)

    with feeding(feed):
        assert exit_code(f"{inputs}/*.fa*", output, stop_after=2) == 0
    assert (ids(output, "a"), ids(output, "b")) == (["a", "b"], ["x"])
    assert finished(output) == ["a.fa", "b.fa"]
    told = report(output)
    assert (told["exit_code"], told["totals"]["embedded_this_run"]) == (0, 3)
    assert told["metrics"]["attention"] == "packed (each)"
    assert sorted(os.listdir(output)) == [
        ".locks", "commits", "embeddings", "extraction_failures.log", "pt", "run_report.json",
    ]  # fmt: skip


def test_report_and_log_are_there_while_it_goes_on(inputs: Path, output: Path) -> None:
    (inputs / "a.fa").write_text(">bad\nMK1\n")

    def feed() -> None:
        wait_for((output / "extraction_failures.log").exists)  # the last of them
        told = report(output)
        assert (told["exit_code"], told["totals"]["dead_lettered"]) == (3, 1)
        assert "invalid_residue" in (output / "extraction_failures.log").read_text()
        stop()

    with feeding(feed):
        assert exit_code(inputs, output, stop_after=SECONDS_TO_HANG) == 143
    assert report(output)["exit_code"] == 143


def test_what_was_done_in_an_earlier_life_is_not_done_again(
    inputs: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (inputs / "a.fa").write_text(GOOD)
    assert exit_code(inputs, output) == 0
    before = read_commits(str(output))
    with monkeypatch.context() as patched:
        patched.setattr("pipeline.execution.run_graph", lambda *_: pytest.fail("a graph was run"))
        assert exit_code(inputs, output) == 0
    assert read_commits(str(output)) == before
    (output / "pt/a_ESM.pt").unlink()
    assert exit_code(inputs, output) == 0
    assert ids(output, "a") == ["a", "b"]


def test_it_goes_on_with_what_a_run_has_begun_and_the_other_way_round(
    inputs: Path, output: Path
) -> None:
    (inputs / "a.fa").write_text(GOOD)
    bounded = ["--input", inputs, "--output", output, "--model", "demo", "--quiet"]
    for name in ("b", "c"):
        assert exit_code_of(main, *bounded) == 0
        (inputs / f"{name}.fa").write_text(OTHER)
        assert exit_code(inputs, output) == 0
    assert finished(output) == ["a.fa", "b.fa", "c.fa"]
    assert len(read_outcome(output).rows) == 4


def test_a_file_that_changes_is_embedded_anew(inputs: Path, output: Path) -> None:
    (inputs / "a.fa").write_text(GOOD)

    def feed() -> None:
        wait_for((output / "pt/a_ESM.pt").exists)
        (inputs / "a.fa").write_text(OTHER)
        wait_for(lambda: finished(output) and [r["id"] for r in read_outcome(output).rows] == ["x"])

    with feeding(feed):
        assert exit_code(inputs, output, stop_after=2) == 0
    assert ids(output, "a") == ["x"]
    assert not (output / "commits/reopened.json").exists()


def test_a_broken_file_is_tried_again_when_it_changes_and_not_before(
    inputs: Path, output: Path
) -> None:
    whole = gzip.compress(GOOD.encode() * 99)
    (inputs / "a.fa.gz").write_bytes(whole[:-9])
    (inputs / "b.fa").write_text(OTHER)

    def feed() -> None:
        wait_for(lambda: read_commits(str(output)).failed_sources() and finished(output))
        time.sleep(1)  # ten looks
        assert len(failed) == 1
        (inputs / "a.fa.gz").write_bytes(whole)
        wait_for((output / "pt/a_ESM.pt").exists)

    with heard(events.RecordFailed) as failed, feeding(feed):
        assert exit_code(inputs, output, stop_after=2) == 0
    assert finished(output) == ["a.fa.gz", "b.fa"]
    assert read_outcome(output).dead_letters == []


def test_a_file_whose_name_is_taken_is_a_dead_letter_and_the_others_go_on(
    inputs: Path, output: Path
) -> None:
    (inputs / "a.fa").write_text(GOOD)

    def feed() -> None:
        wait_for((output / "pt/a_ESM.pt").exists)
        (inputs / "a.faa").write_text(OTHER)
        (inputs / "b.fa").write_text(OTHER)
        (inputs / f"{'long' * 60}.fa").write_text(OTHER)
        wait_for((output / "pt/b_ESM.pt").exists)

    with feeding(feed):
        assert exit_code(inputs, output, stop_after=2) == 3
    outcome = read_outcome(output)
    assert [(d["source"][:5], d["error_type"]) for d in outcome.dead_letters] == [
        ("a.faa", "name_taken"),
        ("longl", "name_too_long"),
    ]
    assert (ids(output, "a"), ids(output, "b")) == (["a", "b"], ["x"])
    # In its next life it knows of them.
    before = read_commits(str(output))
    assert exit_code(inputs, output) == 3
    assert read_commits(str(output)).parts == before.parts
    # A broken file makes it tidy up; the .pt of the first stays.
    (inputs / "c.fa").write_text("no FASTA")
    assert exit_code(inputs, output) == 3
    assert ids(output, "a") == ["a", "b"]


def test_a_file_that_could_not_be_read_is_not_refused_as_well(inputs: Path, output: Path) -> None:
    (inputs / "a.fa").write_text("no FASTA")

    def feed() -> None:
        wait_for(lambda: any((output / "dead_letters").glob("*")))
        (inputs / "a.faa").write_text(GOOD)
        wait_for((output / "pt/a_ESM.pt").exists)
        (inputs / "a.fa").write_text(OTHER)

    with feeding(feed):
        assert exit_code(inputs, output, stop_after=2) == 3
    assert [d["error_type"] for d in read_outcome(output).dead_letters] == ["not_fasta"]
    assert ids(output, "a") == ["a", "b"]


def test_a_file_that_was_embedded_and_cannot_be_read_now_keeps_its_vectors(
    inputs: Path, output: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (inputs / "a.fa").write_text(GOOD)
    assert exit_code(inputs, output) == 0
    os.utime(inputs / "a.fa", (1, 1))
    (inputs / "b.fa").write_text(OTHER)
    open_chunks = storage.open_chunks

    def denied(url: str, *args: int) -> Iterator[bytes]:
        if url.endswith("a.fa"):
            raise PermissionError(13, "Permission denied", url)
        return open_chunks(url, *args)

    monkeypatch.setattr(storage, "open_chunks", denied)
    assert exit_code(inputs, output) == 0
    assert "a.fa was embedded before and cannot be read now" in capsys.readouterr().err
    assert (ids(output, "a"), ids(output, "b")) == (["a", "b"], ["x"])


def test_a_listing_that_fails_is_tried_again(
    inputs: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (inputs / "a.fa").write_text(GOOD)
    looks = 0

    def find(*args: object, **options: object) -> Listing:
        nonlocal looks
        looks += 1
        if looks % 2:
            raise TimeoutError("the network is away")
        return find_fasta(*args, **options)

    monkeypatch.setattr(watch, "find_fasta", find)
    assert exit_code(inputs, output) == 0
    assert finished(output) == ["a.fa"]


def test_a_graph_that_fails_ends_it(
    inputs: Path, output: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise GraphError("the device is gone")

    (inputs / "a.fa").write_text(GOOD)
    with monkeypatch.context() as patched:
        patched.setattr("pipeline.execution.run_graph", fail)
        assert exit_code(inputs, output, stop_after=SECONDS_TO_HANG) == 1
    said = capsys.readouterr().err
    assert "error: the device is gone" in said
    assert "The same command carries on from there." in said
    assert exit_code(inputs, output) == 0


def test_the_model_is_loaded_once_and_before_the_first_file(
    inputs: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transforms.esm.model.MODELS", LoadedModels())

    def feed() -> None:
        wait_for(lambda: seen)
        for name in ("a", "b"):
            (inputs / f"{name}.fa").write_text(GOOD)
            wait_for((output / f"pt/{name}_ESM.pt").exists)

    with heard(events.ModelLoaded, events.FileOpened) as seen, feeding(feed):
        assert exit_code(inputs, output, stop_after=2) == 0
    kinds = [type(event) for event in seen]
    assert kinds == [events.ModelLoaded, events.FileOpened, events.FileOpened]


def test_a_model_that_changes_under_it_ends_it(
    inputs: Path, output: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (inputs / "a.fa").write_text(GOOD)
    monkeypatch.setattr("transforms.esm.checkpoints._DEMO_FINGERPRINT", "one")

    def feed() -> None:
        wait_for((output / "pt/a_ESM.pt").exists)
        monkeypatch.setattr("transforms.esm.checkpoints._DEMO_FINGERPRINT", "another")
        (inputs / "b.fa").write_text(OTHER)

    with feeding(feed):
        assert exit_code(inputs, output, stop_after=SECONDS_TO_HANG) == 1
    assert "has changed since this run began" in capsys.readouterr().err
    assert finished(output) == ["a.fa"]


def test_the_output_is_locked_all_the_time(inputs: Path, output: Path) -> None:
    def feed() -> None:
        for name in ("a", "b"):
            (inputs / f"{name}.fa").write_text(GOOD)
            wait_for((output / f"pt/{name}_ESM.pt").exists)
            with pytest.raises(HeldError), hold(str(output), "second"):
                pass

    with feeding(feed):
        assert exit_code(inputs, output, stop_after=2) == 0


def test_new_files_do_not_need_the_records_of_all_others(
    inputs: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (inputs / "a.fa").write_text(GOOD)
    assert exit_code(inputs, output) == 0

    def read(root: str) -> Commits:
        pytest.fail("all records were read")

    monkeypatch.setattr("pipeline.watching.intake.read_commits", read)
    monkeypatch.setattr(skipping, "read_all_parts", read)
    (inputs / "b.fa").write_text(OTHER)
    assert exit_code(inputs, output) == 0
    assert finished(output) == ["a.fa", "b.fa"]


def test_a_look_that_finds_nothing_new_is_one_listing(
    inputs: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (inputs / "a.fa").write_text(GOOD)
    calls: list[str] = []
    is_idle = False

    def feed() -> None:
        nonlocal is_idle
        wait_for((output / "pt/a_ESM.pt").exists)
        time.sleep(2)  # the report is written
        is_idle = True

    def note(name: str, call: Callable[..., object]) -> Callable[..., object]:
        def noting(*args: object, **options: object) -> object:
            if is_idle and threading.current_thread().name != "heartbeat":
                calls.append(name)
            return call(*args, **options)

        return noting

    def report_at_the_end(*args: Any) -> Report:
        nonlocal is_idle
        is_idle = False
        return report_run(*args)

    monkeypatch.setattr(watch, "find_fasta", note("find", find_fasta))
    for name in ("read_bytes", "open_chunks", "list_names", "publish_all", "delete"):
        monkeypatch.setattr(storage, name, note(name, getattr(storage, name)))
    monkeypatch.setattr(continuing, "report_run", report_at_the_end)
    with feeding(feed):
        assert exit_code(inputs, output, stop_after=5) == 0
    assert len(calls) > 3
    assert set(calls) == {"find"}


def write_many(path: Path, records: int) -> None:
    """A file that is worked at for some seconds; written elsewhere, and moved."""
    digits = str.maketrans("0123456789", "ACDEFGHIKL")
    lines = (f">r{n}\n{'MKTAYIAKQRNDEFGH' * 9}{str(n).translate(digits)}\n" for n in range(records))
    path.with_suffix(".part").write_text("".join(lines))
    path.with_suffix(".part").rename(path)


@pytest.mark.slow
def test_a_huge_file_holds_nobody_up_and_gets_on_while_others_keep_coming(
    inputs: Path, output: Path
) -> None:
    write_many(inputs / "huge.fa", 3000)
    before_it = 0

    def feed() -> None:
        nonlocal before_it
        n = 0
        wait_for(lambda: list((output / "embeddings").glob("*")))
        while not (output / "pt/huge_ESM.pt").exists():
            (inputs / f"s{n}.fa").write_text(OTHER)
            wait_for((output / f"pt/s{n}_ESM.pt").exists)
            before_it += not (output / "pt/huge_ESM.pt").exists()
            n += 1

    with feeding(feed):
        assert exit_code(inputs, output, stop_after=2) == 0
    assert before_it >= 2
    assert ids(output, "huge") == [f"r{n}" for n in range(3000)]
    runs = {part.run for part in read_commits(str(output)).by_source()["huge.fa"]}
    assert len(runs) > 1


@pytest.mark.slow
def test_a_file_that_is_slow_to_begin_holds_nobody_up_and_gets_on(
    inputs: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To open it takes longer than its turn, and it comes together with another one."""
    write_many(inputs / "slow.fa", 300)
    (inputs / "s0.fa").write_text(OTHER)
    open_chunks = storage.open_chunks
    opens = 0

    def slowly(url: str, *args: int) -> Iterator[bytes]:
        nonlocal opens
        if url.endswith("slow.fa"):
            opens += 1
            for _ in range(20):
                time.sleep(0.1)
                yield b""  # where a stop is heeded
        yield from open_chunks(url, *args)

    slow = SimpleNamespace(**vars(storage) | {"open_chunks": slowly})
    monkeypatch.setattr(reading, "storage", slow)

    def feed() -> None:
        n = 0
        while not (output / "pt/slow_ESM.pt").exists():
            (inputs / f"s{n}.fa").write_text(OTHER)
            wait_for((output / f"pt/s{n}_ESM.pt").exists)
            n += 1
        assert n > 2

    with feeding(feed):
        assert exit_code(inputs, output, stop_after=2) == 0
    assert len(ids(output, "slow")) == 300
    assert opens > 2


@pytest.mark.slow
def test_a_signal_drains_and_the_same_command_carries_on(inputs: Path, output: Path) -> None:
    write_many(inputs / "huge.fa", 4000)

    def feed() -> None:
        wait_for(lambda: list((output / "commits").glob("part-*")))
        os.kill(os.getpid(), signal.SIGINT)

    with feeding(feed):
        assert exit_code(inputs, output, stop_after=SECONDS_TO_HANG) == 130
    embedded = len(read_outcome(output).rows)
    assert 0 < embedded < 4000
    assert exit_code(inputs, output) == 0
    assert report(output)["totals"]["embedded_this_run"] == 4000 - embedded
    assert ids(output, "huge") == [f"r{n}" for n in range(4000)]


def test_files_that_fail_are_told_of_at_once_and_at_the_end_by_a_signal(
    inputs: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(continuing.FILES_TOLD + 2):
        (inputs / f"broken{number}.fa").write_text("# STOCKHOLM 1.0\n")
    (inputs / "good.fa").write_text(GOOD + ">none\n")

    def feed() -> None:
        wait_for((output / "run_report.json").exists)
        os.kill(os.getpid(), signal.SIGINT)

    args = ["--watch", "--input", inputs, "--output", output, "--model", "demo"]
    with feeding(feed):
        assert exit_code_of(main, *args, "--poll_seconds", 0.1) == 130
    said = capsys.readouterr()
    assert ": 3 records, 1 record and 7 files failed.\n" in said.err
    assert "Failed: broken0.fa: not_fasta. See dead_letters/.\n" in said.err
    assert said.err.count("Failed: broken") == continuing.FILES_TOLD
    assert "Failed: 2 files more.\n" in said.err
    assert f"{output} now holds 2 vectors of 128 values from 1 of 8 files:\n" in said.out
    assert "1 record and 7 files failed: see dead_letters/" in said.out
    assert "Stopped before the end" not in said.err


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--runner", "BundleBasedDirectRunner"], "on the local runner"),
        (["--overwrite"], "at each start"),
        (["--retry_failed"], "without --watch"),
        (["--max_dead_letters", "3"], "Leave it out"),
        (["--input_root", "/elsewhere"], "cannot lie below the input root /elsewhere"),
    ],
)
def test_what_makes_no_sense_is_refused(
    more: list[str], says: str, tmp_path: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(tmp_path / "in", output, *more) == 2
    assert says in capsys.readouterr().err
    assert not output.exists()
