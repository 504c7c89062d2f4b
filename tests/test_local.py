"""Tests of local files that survive a power cut."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from transforms import local
from transforms.local import sync_all


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which system calls were made."""
    made: list[str] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (made.append("fsync"), fsync(fd)))
    syncfs = SimpleNamespace(syncfs=lambda _: made.append("syncfs") or 0)
    monkeypatch.setattr(local.ctypes, "CDLL", lambda *_, **__: syncfs)
    return made


def make_files(folder: Path, count: int) -> list[str]:
    paths = [folder / str(number) for number in range(count)]
    for path in paths:
        path.write_text("x")
    return list(map(str, paths))


@pytest.mark.parametrize(
    ("count", "release", "expected"),
    [
        (0, "6.1.0", []),
        (1, "6.1.0", ["fsync"]),
        (4, "6.1.0", ["fsync"] * 4),
        (5, "6.1.0", ["syncfs"]),
        (5, "5.8.0-generic", ["syncfs"]),
        (5, "5.4.0", ["fsync"] * 5),  # whose syncfs passes over errors
        (5, "unheard of", ["fsync"] * 5),
    ],
)
def test_many_are_synced_at_one_time(
    tmp_path: Path,
    calls: list[str],
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    release: str,
    expected: list[str],
) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(release=release))
    monkeypatch.setattr(local.sys, "platform", "linux")
    sync_all(make_files(tmp_path, count))
    assert calls == expected


def test_elsewhere_there_is_no_such_call(
    tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local.sys, "platform", "darwin")
    sync_all(make_files(tmp_path, 5))
    assert calls == ["fsync"] * 5


def test_it_works_on_this_machine(tmp_path: Path) -> None:
    sync_all(make_files(tmp_path, 20))


def test_what_the_kernel_reports_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_knows_syncfs", lambda: True)
    monkeypatch.setattr(local.ctypes, "CDLL", lambda *_, **__: SimpleNamespace(syncfs=lambda _: -1))
    monkeypatch.setattr(local.ctypes, "get_errno", lambda: errno.EIO)
    with pytest.raises(OSError, match="Input/output error") as caught:
        sync_all(make_files(tmp_path, 5))
    assert caught.value.errno == errno.EIO
