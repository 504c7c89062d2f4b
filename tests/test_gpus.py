"""Tests of ``--gpus``: which GPUs, which arguments, and processes that die. No GPU is needed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from pipeline.listening.tally import add_up
from pipeline.options import parse_options
from pipeline.run import main
from pipeline.sharding.fleet import Fleet, Member, Process
from pipeline.sharding.gpus import AllProgress, arguments_of, find_devices, start_process
from tests.command import exit_code_of
from tests.faults.outcome import assert_equal, read_outcome, write_inputs
from transforms.errors import ConfigurationError
from transforms.output.holders import LOCKS, Holder, write_holder
from transforms.output.shards import Shard

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("wanted", "visible", "found"),
    [
        ("all", None, ("0", "1", "2", "3")),
        ("0,3", None, ("0", "3")),
        ("all", "4,5,6,7", ("4", "5", "6", "7")),  # what a scheduler has given us
        ("1,2", "GPU-a,GPU-b,GPU-c,GPU-d", ("GPU-b", "GPU-c")),
    ],
)
def test_gpus_are_numbered_among_those_that_this_process_sees(
    wanted: str, visible: str | None, found: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    environment = {"CUDA_VISIBLE_DEVICES": visible} if visible else {}
    assert find_devices(wanted.split(","), "auto", environment) == found


@pytest.mark.parametrize(
    ("wanted", "device", "count", "sentence"),
    [
        ("all", "auto", 0, "torch sees no CUDA GPU here"),
        ("0,4", "auto", 2, "there is no GPU 4; this machine shows 2"),
        ("all", "cpu", 0, "give numbers"),
    ],
)
def test_gpus_that_are_not_there_are_refused(
    wanted: str, device: str, count: int, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(ConfigurationError, match=sentence):
        find_devices(wanted.split(","), device, {})


def test_each_process_gets_the_same_arguments_but_for_its_share() -> None:
    argv = ["--gpus", "0,1", "--input", "a.fa", "--event_log", "log", "--quiet"]
    wanted = ["--input", "a.fa", "--shard", "1/2", "--quiet", "--event_log", "log.shard-1-of-2"]
    assert arguments_of(Shard(1, 2), argv, "log") == wanted


def test_an_option_may_have_an_empty_value() -> None:
    argv = ["--gpus=0", "--event_log=", "--input", "a.fa"]
    assert arguments_of(Shard(0, 1), argv) == ["--input", "a.fa", "--shard", "0/1", "--quiet"]


def test_options_from_a_file_do_not_start_processes_of_processes(tmp_path: Path) -> None:
    file = tmp_path / "options.yaml"
    file.write_text("gpus: 0,1\ninput: [a]\noutput: o\n")
    whole = parse_options(["--config", str(file), "--quiet"])
    assert whole.gpus == ("0", "1")
    child = parse_options(arguments_of(Shard(1, 2), whole.argv))
    assert (child.shard, child.gpus) == (Shard(1, 2), ())
    assert (child.options["shard"], child.options["gpus"]) == ("1/2", None)


class Scripted:
    """A process that ends with given codes, each when it is looked at for the second time."""

    def __init__(self, code: int | None) -> None:
        self.code = code
        self.looks = 0
        self.signals: list[int] = []

    def poll(self) -> int | None:
        self.looks += 1
        return self.code if self.looks > 1 else None

    def send_signal(self, number: int, /) -> None:
        self.signals.append(number)
        self.code = 128 + number


class Fakes:
    """Starts scripted processes, with the codes that each shard is to end with."""

    def __init__(self, codes: Sequence[Sequence[int | None]]) -> None:
        self.codes = [list(each) for each in codes]
        self.started: list[tuple[int, str]] = []
        self.processes: list[Scripted] = []

    def __call__(self, shard: Shard, device: str) -> Process:
        self.started.append((shard.number, device))
        self.processes.append(Scripted(self.codes[shard.number].pop(0)))
        return self.processes[-1]


def fleet(fakes: Fakes, restarts_failed: bool = True) -> Fleet:
    count = len(fakes.codes)
    members = [Member(Shard(n, count), f"gpu{n}") for n in range(count)]
    return Fleet(members, fakes, restarts_failed)


@pytest.mark.parametrize(
    ("codes", "started", "code"),
    [
        ([[0], [0]], [0, 1], 0),
        ([[0], [3]], [0, 1], 3),
        ([[0], [-9, 1, 0]], [0, 1, 1, 1], 0),
        ([[0], [-9, -9, -9, -9]], [0, 1, 1, 1, 1], 1),
        ([[2], [2]], [0, 1], 2),
        ([[0], [2]], [0, 1], 1),
        ([[0], [143]], [0, 1], 143),  # somebody has stopped that one
    ],
)
def test_a_process_that_dies_is_started_again_so_many_times(
    codes: list[list[int | None]], started: list[int], code: int, capsys: Capture
) -> None:
    fakes = Fakes(codes)
    assert fleet(fakes).run() == code
    assert [number for number, _ in fakes.started] == started
    assert {device for number, device in fakes.started if number == 1} == {"gpu1"}
    told = capsys.readouterr().err
    assert told.count("it is started again") == len(started) - 2
    assert ("Shard 1 of 2 on GPU gpu1 was killed by signal 9" in told) == (codes[1][0] == -9)


def test_one_with_too_many_dead_letters_is_not_started_again() -> None:
    fakes = Fakes([[1]])
    assert fleet(fakes, restarts_failed=False).run() == 1
    assert len(fakes.started) == 1


def test_signals_are_passed_on_and_none_is_started_again() -> None:
    fakes = Fakes([[None], [None]])

    def stop() -> None:
        if not fakes.processes[0].signals:
            os.kill(os.getpid(), signal.SIGTERM)

    assert fleet(fakes).run(stop) == 143
    assert [process.signals for process in fakes.processes] == [[signal.SIGTERM]] * 2
    assert len(fakes.started) == 2


def test_a_signal_that_comes_while_they_are_started_reaches_all_of_them() -> None:
    fakes = Fakes([[None], [None], [None]])

    def start(shard: Shard, device: str) -> Process:
        if shard.number == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return fakes(shard, device)

    assert Fleet([Member(Shard(n, 3), "gpu") for n in range(3)], start, 2).run() == 143
    assert [process.signals for process in fakes.processes] == [[signal.SIGTERM]] * 3


def test_a_process_sees_one_gpu_and_its_complaints_have_a_name(capsys: Capture) -> None:
    script = "import os, sys; sys.exit(os.environ['CUDA_VISIBLE_DEVICES'])"  # printed as an error

    def start(shard: Shard, device: str) -> Process:
        return start_process([sys.executable, "-c", script], shard, device)

    assert Fleet([Member(Shard(0, 1), "GPU-7")], start, restarts_failed=False).run() == 1
    assert "[shard 0 of 1] GPU-7" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("others", "total"),
    [
        ([], 1000),  # it has told nothing yet
        ([{"files": 1, "files_done": 0, "residues_total": 0}], 1000),  # has opened no file yet
        ([{"files": 1, "files_done": 1, "residues_total": 0}], 500),  # had nothing to do
        ([{"files": 1, "files_done": 0, "residues_total": 700}], 1200),
    ],
)
def test_of_shards_that_do_not_know_yet_an_even_share_is_reckoned(
    others: list[dict[str, float]], total: int
) -> None:
    done = {"files": 1.0, "files_done": 1.0, "residues": 500.0, "residues_total": 500.0}
    assert add_up([done, *others], 2)["residues_total"] == total


def test_progress_is_that_of_all_heartbeats_together(tmp_path: Path) -> None:
    (tmp_path / LOCKS).mkdir()
    shards = [Shard(n, 3) for n in range(3)]  # the last has not begun
    for shard, residues in zip(shards, (10, 30), strict=False):
        progress = {"residues": residues, "residues_total": 100.0}
        write_holder(str(tmp_path), Holder(shard.name, progress=progress))
    clock = iter([0.0, 0.5, 0.5, 9.0, 9.0, 9.0])
    shown = AllProgress(str(tmp_path), shards, lambda: next(clock, 9.0))
    shown.look()
    assert (shown.residues, shown.residues_total) == (0, 0)  # not at every tick
    shown.look()
    assert (shown.residues, shown.residues_total) == (40, 300)  # as much for the last


def test_two_shards_of_one_command_one_of_them_killed_make_what_one_run_makes(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = tmp_path / "in"
    write_inputs(inputs, files=2, records=30)
    start, killed = start_process, []

    def start_and_kill(command: Sequence[str], shard: Shard, device: str) -> Process:
        process = start(command, shard, device)
        if shard.number == 1 and not killed:
            killed.append(process)
            process.send_signal(signal.SIGKILL)
        return process

    monkeypatch.setattr("pipeline.sharding.gpus.start_process", start_and_kill)
    argv = ["--input", str(inputs), "--model", "demo", "--device", "cpu", "--output"]
    assert exit_code_of(main, *argv, tmp_path / "out", "--gpus", "0,1") == 3
    printed = capsys.readouterr()
    assert "Shard 1 of 2 on GPU 1 was killed by signal 9; it is started again (1 of 3)." in (
        printed.err
    )
    assert f"{tmp_path / 'out'} now holds" in printed.out
    with pytest.raises(SystemExit):
        main([*argv, str(tmp_path / "whole")])
    assert_equal(read_outcome(tmp_path / "out"), read_outcome(tmp_path / "whole"))


def test_of_several_machines_all_but_the_last_leave_it_incomplete_and_are_content(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = tmp_path / "in"
    write_inputs(inputs, files=2, records=30)
    stranger = tmp_path / "pipeline"
    stranger.mkdir()
    (stranger / "__main__.py").write_text("raise SystemExit('another program')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    argv = ["--input", str(inputs), "--model", "demo", "--device", "cpu", "--output"]
    argv += [str(tmp_path / "out"), "--gpus", "0,1", "--shard"]
    assert exit_code_of(main, *argv, "0/2") in (0, 3)  # as its own shards have ended
    assert "2 of 4 shards have not ended" in capsys.readouterr().out
    assert exit_code_of(main, *argv, "1/2") == 3
    with pytest.raises(SystemExit):
        main([*argv[:-4], str(tmp_path / "whole")])
    assert_equal(read_outcome(tmp_path / "out"), read_outcome(tmp_path / "whole"))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--input", "nothing.fa"], "nothing.fa"),
        (["--input", "a.fa", "--runner", "PrismRunner"], "--gpus divides the work"),
        (["--input", "a.fa", "--event_log", "out/embeddings/log"], "--event_log"),
    ],
)
def test_what_is_wrong_with_the_command_is_told_once_and_starts_no_process(
    more: list[str],
    told: str,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "a.fa").write_text(">a\nMKV\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "pipeline.sharding.gpus.start_process", lambda *_: pytest.fail("it was started")
    )
    argv = ["--output", str(tmp_path / "out"), "--model", "demo", "--device", "cpu"]
    assert exit_code_of(main, *argv, "--gpus", "0,1", *more) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_of_a_command_that_no_shard_can_begin_with_nothing_is_said_to_be_safe(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.fa").write_text(">a\nMKV\n")
    monkeypatch.setattr("pipeline.sharding.gpus.start_process", lambda *_: Scripted(2))
    argv = ["--output", str(tmp_path / "out"), "--input", str(tmp_path / "a.fa")]
    assert exit_code_of(main, *argv, "--device", "cpu", "--gpus", "0,1") == 2
    assert "carries on" not in capsys.readouterr().err
