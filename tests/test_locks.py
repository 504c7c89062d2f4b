"""Tests of the lock: who is kept out, who is not, and what its holder tells."""

from __future__ import annotations

import errno
import fcntl
import io
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from apache_beam.io.filesystems import FileSystems

from tests.helpers import Upload, files_below, no_sleep
from tests.processes import lock_holder
from tests.waiting import wait_for
from transforms.errors import LostError
from transforms.output.holders import (
    PARTS,
    RUN,
    Holder,
    read_holder,
    read_holders,
    state_of,
    write_holder,
)
from transforms.output.locks import (
    HeldError,
    Lock,
    check_held,
    hold,
    hold_parts,
)

QUICK = 0.01
"""Seconds between heartbeats where a test waits for them."""


def no_progress() -> dict[str, float]:
    return {}


@pytest.fixture
def out(tmp_path: Path) -> str:
    """An output whose lock a run on another machine holds, or held."""
    (tmp_path / "out/.locks").mkdir(parents=True)
    write_holder(str(tmp_path / "out"), ELSEWHERE)
    return str(tmp_path / "out")


ELSEWHERE = Holder(
    lock=RUN,
    run="first",
    host="otherhost",
    machine="other-boot",
    pid=77,
    started="2026-01-31T12:00:00.000Z",
    heartbeat="2026-01-31T12:34:56.789Z",
    interval=8.0,
)


def test_a_second_run_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    with hold(str(tmp_path), "first"):
        with pytest.raises(HeldError) as caught, hold(str(tmp_path), "second", sleep=no_sleep):
            pytest.fail("two runs at once")
        holder = read_holder(str(tmp_path), "all")
    told = str(caught.value)
    assert f"run first, process {os.getpid()} on {os.uname().nodename}" in told
    assert f"since {holder.started}" in told
    assert "last heartbeat at" in told


def test_a_lock_that_was_let_go_is_free_at_once(tmp_path: Path) -> None:
    for run in ("first", "second"):
        with hold(str(tmp_path), run, sleep=no_sleep):
            holder = read_holder(str(tmp_path), "all")
            assert (holder.run, holder.released, state_of(holder)) == (run, False, "alive")
        holder = read_holder(str(tmp_path), "all")
        assert (holder.run, holder.released, state_of(holder)) == (run, True, "ended")
    assert files_below(tmp_path) == [".locks/all.json", ".locks/all.lock"]


def test_a_killed_holder_does_not_leave_the_lock_shut(tmp_path: Path) -> None:
    with lock_holder(str(tmp_path), {"records": 5}) as process:
        with pytest.raises(HeldError, match=f"run first, process {process.pid} on"):
            hold(str(tmp_path), "second", sleep=no_sleep).__enter__()
        process.kill()
        process.wait()
        holder = read_holder(str(tmp_path), "all")
        assert (holder.released, state_of(holder)) == (False, "dead")
        with hold(str(tmp_path), "second", sleep=no_sleep):
            assert [holder.run for holder in read_holders(str(tmp_path))] == ["second"]


def test_what_a_kill_in_a_heartbeat_has_left_goes_with_the_next_holder(tmp_path: Path) -> None:
    with hold(str(tmp_path), "run1"), hold(str(tmp_path), "run1", "parts"):
        pass
    left = [tmp_path / ".locks" / name for name in ("all.json.123", "parts.json.123")]
    for path in left:
        path.write_text("half")
    with hold(str(tmp_path), "run2"):
        assert [path.exists() for path in left] == [False, True]
        with pytest.raises(HeldError), hold(str(tmp_path), "run3"):
            pass
    assert files_below(tmp_path / ".locks") == [
        "all.json", "all.lock", "parts.json", "parts.json.123", "parts.lock",
    ]  # fmt: skip


def test_the_kernel_tells_of_a_dead_holder_also_where_its_number_is_in_use_again(
    tmp_path: Path,
) -> None:
    root = str(tmp_path)
    with hold(root, "first"):
        found = read_holder(root, "all")
    # Also of one in another container, whose processes cannot be seen.
    for dead in (replace(found, released=False), replace(found, released=False, host="x")):
        write_holder(root, dead)
        with hold(root, "second", sleep=no_sleep):
            pass


def test_locks_of_different_names_do_not_hinder_each_other(tmp_path: Path) -> None:
    root = str(tmp_path)
    with hold(root, "first", name="1-of-2"), hold(root, "second", name="2-of-2", sleep=no_sleep):
        assert [(held.lock, held.run) for held in read_holders(root)] == [
            ("1-of-2", "first"),
            ("2-of-2", "second"),
        ]
        for name, run in (("1-of-2", "first"), ("2-of-2", "second")):
            with pytest.raises(HeldError, match=f"run {run},"), hold(root, "third", name=name):
                pytest.fail("two runs at once")


def test_a_holder_on_another_machine_that_is_alive_is_not_disturbed(out: str) -> None:
    slept: list[float] = []
    beaten = replace(ELSEWHERE, heartbeat="2026-01-31T12:35:04.789Z")

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if sum(slept) == 8.0:
            write_holder(out, beaten)

    with pytest.raises(HeldError) as caught, hold(out, "second", sleep=sleep):
        pytest.fail("two runs at once")
    assert str(caught.value) == (
        "run first, process 77 on otherhost, since 2026-01-31T12:00:00.000Z, "
        "last heartbeat at 2026-01-31T12:35:04.789Z"
    )
    assert sum(slept) == 8.0
    assert read_holder(out, "all") == beaten
    write_holder(out, replace(beaten, released=True))
    with hold(out, "second", sleep=no_sleep):
        pass


def test_a_holder_on_another_machine_without_a_heartbeat_is_dead_after_three_intervals(
    out: str, caplog: pytest.LogCaptureFixture
) -> None:
    slept: list[float] = []
    with caplog.at_level(logging.INFO), hold(out, "second", sleep=slept.append):
        assert sum(slept[:-1]) == 3 * 8.0
        assert slept[-1] == 1.0  # has another one taken it at the same moment?
        assert [held.run for held in read_holders(out)] == ["second"]
    (said,) = caplog.messages
    assert "last held by run first, process 77 on otherhost" in said
    assert "Watching for 24 seconds" in said


def test_a_holder_that_lets_go_while_it_is_watched_is_waited_for_no_longer(out: str) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 1:
            write_holder(out, replace(ELSEWHERE, released=True))

    with hold(out, "second", sleep=sleep):
        assert slept == [2.0, 1.0]
        assert [held.run for held in read_holders(out)] == ["second"]


def test_of_two_runs_that_take_over_from_the_dead_one_goes_on(out: str) -> None:
    third = replace(ELSEWHERE, run="third")

    def quicker(seconds: float) -> None:
        write_holder(out, third)

    with pytest.raises(HeldError, match="run third"), hold(out, "second", sleep=quicker):
        pytest.fail("two runs at once")

    def a_moment_later(seconds: float) -> None:
        if seconds == 1.0:  # when the second has written, and looks once more
            write_holder(out, third)

    write_holder(out, ELSEWHERE)
    with pytest.raises(HeldError, match="run third"), hold(out, "second", sleep=a_moment_later):
        pytest.fail("two runs at once")
    assert read_holder(out, "all") == third


@pytest.mark.parametrize("damage", [b"", b"\xff", b"[]", b'{"run": "first"}', b'{"pid": "x"}'])
def test_a_lock_file_that_cannot_be_read_is_watched_and_replaced(
    damage: bytes, out: str, caplog: pytest.LogCaptureFixture
) -> None:
    Path(out, ".locks/all.json").write_bytes(damage)
    slept: list[float] = []
    with caplog.at_level(logging.INFO), hold(out, "second", sleep=slept.append):
        assert sum(slept[:-1]) == 30.0
        assert [held.run for held in read_holders(out)] == ["second"]
    assert "a run whose lock file .locks/all.json cannot be read" in caplog.text


def test_a_lock_file_cannot_make_others_wait_for_ever(out: str) -> None:
    write_holder(out, replace(ELSEWHERE, interval=1e9))
    slept: list[float] = []
    with hold(out, "second", sleep=slept.append):
        assert sum(slept[:-1]) == 30.0


def test_a_holder_in_words_cannot_command_a_terminal() -> None:
    assert "\x1b" not in str(replace(ELSEWHERE, host="\x1b[2J"))
    assert "on \\x1b[2J," in str(replace(ELSEWHERE, host="\x1b[2J"))


def test_the_heartbeat_goes_on_and_tells_the_progress(tmp_path: Path) -> None:
    root = str(tmp_path)
    counts = iter(range(1_000_000))
    seen = []
    with hold(root, "first", interval=QUICK) as lock:
        holder = read_holder(root, "all")
        assert holder.progress is None
        with lock.watched(lambda: {"records": next(counts), "seconds": 1.5}, no_progress):
            wait_for(lambda: (found := read_holder(root, "all")) and found.progress)
            for _ in range(3):
                holder = read_holder(root, "all")
                seen.append(holder)
                wait_for(lambda: read_holder(root, "all") != seen[-1])
    assert len({held.heartbeat for held in seen}) == 3
    numbers = [held.progress["records"] for held in seen if held.progress]
    assert numbers == sorted(set(numbers))
    # What was told last stays, for who asks after the end.
    holder = read_holder(root, "all")
    assert holder.released
    assert holder.progress["records"] > numbers[-1]


def test_a_lost_lock_calls_back_and_is_left_to_the_other_run(tmp_path: Path) -> None:
    root = str(tmp_path)
    lost = threading.Event()
    other = replace(ELSEWHERE, run="second")
    with hold(root, "first", interval=QUICK) as lock:
        check_held(root, "first")
        assert not lock.is_lost()
        with lock.watched(no_progress, lost.set):
            write_holder(root, other)
            with pytest.raises(LostError, match=r"taken .* over \(run second, process 77"):
                check_held(root, "first")
            assert lost.wait(60)
        assert lock.is_lost()
        again = threading.Event()
        with lock.watched(no_progress, again.set):
            assert again.is_set()
    assert read_holder(root, "all") == other


def test_a_loss_is_seen_at_once_by_who_asks(tmp_path: Path) -> None:
    root = str(tmp_path)
    with hold(root, "first") as lock:
        write_holder(root, replace(ELSEWHERE, run="second"))
        assert lock.is_lost()
    holder = read_holder(root, "all")
    assert holder.run == "second"


def beat_often(lock: Lock, beats: list[int]) -> Callable[[], dict[str, float]]:
    def progress() -> dict[str, float]:
        beats.append(1)
        return {"beats": len(beats)}

    return progress


def test_the_heartbeat_survives_a_vanished_directory_and_does_not_make_it_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "out"
    root.mkdir()
    beats: list[int] = []
    raised: list[object] = []
    previous, threading.excepthook = threading.excepthook, raised.append
    try:
        with hold(str(root), "first", interval=QUICK) as lock:
            with lock.watched(beat_often(lock, beats), no_progress):
                wait_for(lambda: beats)
                root.rename(tmp_path / "gone")
                count = len(beats)
                wait_for(lambda: len(beats) > count + 3)
                assert not root.exists()
                (tmp_path / "gone").rename(root)
                back = len(beats)
                wait_for(
                    lambda: (
                        (found := read_holder(str(root), "all"))
                        and found.progress
                        and found.progress["beats"] > back
                    )
                )
            root.rename(tmp_path / "gone for good")  # at once; a beat would get between rmtree
    finally:
        threading.excepthook = previous
    assert not root.exists()
    assert raised == []
    (warning,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert f"The heartbeat of {root} cannot be written" in warning.getMessage()
    assert warning.exc_info is None


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_on_a_file_system_without_locks_the_heartbeat_alone_is_gone_by(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, "no locks here")

    monkeypatch.setattr(fcntl, "flock", flock)
    root = str(tmp_path)
    slept: list[float] = []
    with hold(root, "first", sleep=slept.append):
        assert slept == [1.0]
        found = read_holder(root, "all")

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            write_holder(root, replace(found, heartbeat="2026-01-31T12:00:00Z"))

        with pytest.raises(HeldError, match="run first"), hold(root, "second", sleep=sleep):
            pytest.fail("two runs at once")
    assert slept == [1.0, 2.5]
    # A process of this machine that is not there any more need not be watched.
    write_holder(root, replace(found, pid=unused_pid()))
    slept.clear()
    with hold(root, "second", sleep=slept.append):
        assert slept == [1.0]


def test_other_errors_of_the_kernel_are_not_taken_for_a_free_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="broken"), hold(str(tmp_path), "first"):
        pytest.fail("held")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """An object store that holds what was uploaded to it."""
    held: dict[str, bytes] = {}
    monkeypatch.setattr(FileSystems, "create", lambda url, **_: Upload(held, url))
    monkeypatch.setattr(FileSystems, "open", lambda url, **_: io.BytesIO(held[url]))
    monkeypatch.setattr(FileSystems, "exists", lambda url: url in held)
    return held


def test_an_object_store_has_the_heartbeat_alone(bucket: dict[str, bytes]) -> None:
    root = "gs://bucket/out"
    slept: list[float] = []
    with hold(root, "first", sleep=slept.append):
        assert slept == [1.0]
        assert list(bucket) == ["gs://bucket/out/.locks/all.json"]
        found = read_holder(root, "all")

        def sleep(seconds: float) -> None:
            write_holder(root, replace(found, heartbeat="2026-01-31T12:00:00Z"))

        with pytest.raises(HeldError, match="run first"), hold(root, "second", sleep=sleep):
            pytest.fail("two runs at once")
    with hold(root, "second", sleep=slept.append):
        assert slept == [1.0, 1.0]  # it was let go


def test_of_two_runs_that_begin_at_once_on_an_object_store_one_goes_on(
    bucket: dict[str, bytes],
) -> None:
    root = "gs://bucket/out"
    other = replace(ELSEWHERE, run="second")
    with (
        pytest.raises(HeldError, match="run second"),
        hold(root, "first", sleep=lambda _: write_holder(root, other)),
    ):
        pytest.fail("two runs at once")
    assert read_holder(root, "all") == other


def unused_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_can_be_told_of_a_holder_without_touching_its_lock(tmp_path: Path) -> None:
    with hold(str(tmp_path), "first"):
        here = read_holder(str(tmp_path), "all")
    here = replace(here, released=False, heartbeat="2026-01-31T12:00:00.000Z", interval=10.0)
    then = 1769860800.0
    assert state_of(here, now=then + 29) == "alive"
    assert state_of(here, now=then + 31) == "silent"
    assert state_of(replace(here, pid=unused_pid()), now=then + 1) == "dead"
    assert state_of(replace(here, released=True), now=then + 1) == "ended"
    # In another container of this kernel, and on another machine, processes cannot be seen.
    for other in (replace(here, host="x"), replace(here, host="x", machine="y")):
        other = replace(other, pid=unused_pid())
        assert state_of(other, now=then + 29) == "alive"
        assert state_of(other, now=then + 31) == "dead"
    assert state_of(Holder("all"), now=then) == "dead"


def test_the_parts_are_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    root = str(tmp_path)
    first = ExitStack()
    first.enter_context(hold(root, "first", PARTS))
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            first.close()

    with (
        hold_parts(root, "second", wait),
        pytest.raises(HeldError, match="run second"),
        hold(root, "third", PARTS),
    ):
        pass
    assert len(waits) == 3
    assert caplog.text.count("Waiting for the parts") == 1
    with hold_parts(root, "third", no_sleep):
        pass


def test_an_output_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), hold(str(tmp_path / "out"), "first"):
        pass
    assert files_below(tmp_path) == []
