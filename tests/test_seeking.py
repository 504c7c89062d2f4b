"""Tests of a file that is fetched part by part."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from transforms import storage
from transforms.output.seeking import SeekableFile


def test_it_reads_as_any_file_does(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(range(100)))
    file = SeekableFile(str(path))
    with path.open("rb") as plain:
        for offset, whence in ((3, io.SEEK_SET), (4, io.SEEK_CUR), (-9, io.SEEK_END), (95, 0)):
            assert file.seek(offset, whence) == plain.seek(offset, whence) == file.tell()
            assert file.read(7) == plain.read(7)
        file.seek(90)
        assert file.read() == bytes(range(90, 100))
        assert file.read(5) == file.read() == b""
        file.seek(200)
        assert file.read(1) == b""


def test_it_keeps_why_it_could_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError):
        SeekableFile(str(tmp_path / "gone"))
    monkeypatch.setattr(storage, "look_up", lambda url: None)  # as on an object store
    with pytest.raises(FileNotFoundError, match="gone"):
        SeekableFile("gs://b/gone")
    monkeypatch.undo()
    (tmp_path / "a").write_bytes(b"abc")
    file = SeekableFile(str(tmp_path / "a"))
    assert file.failure is None

    def fail(*args: Any, **kwargs: Any) -> Iterator[bytes]:
        raise TimeoutError("busy")

    monkeypatch.setattr(storage, "open_chunks", fail)
    with pytest.raises(TimeoutError) as caught:
        file.read(1)
    assert file.failure is caught.value
