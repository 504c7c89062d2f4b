"""Tests of storage on a file system that fails by a script: what is tried again, and how often."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from apache_beam.io.filesystem import BeamIOError, FileMetadata, FileSystem, MatchResult
from apache_beam.io.filesystems import FileSystems

from tests.test_retrying import ClientError, os_error
from transforms import retrying, storage
from transforms.inputs.finding import FastaFile, find_fasta
from transforms.inputs.reading import read_items
from transforms.items import DeadLetter
from transforms.retrying import RetriedError


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits of the attempts, which nobody waits for."""
    waits: list[float] = []
    monkeypatch.setattr(retrying.time, "sleep", waits.append)
    return waits


class Handle:
    """Reads what a file holds, as far as the script of its file system lets it."""

    def __init__(self, data: bytes, act: Callable[..., object]) -> None:
        self._data, self._act, self._at = data, act, 0

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *_: object) -> None:
        self._data = b""

    def seek(self, position: int) -> None:
        self._at = position

    def read(self, size: int) -> bytes:
        self._act("read", self._at)
        chunk = self._data[self._at : self._at + size]
        self._at += len(chunk)
        return chunk


class Upload:
    """What is written to an object store; it is there when it is closed without an error."""

    def __init__(self, url: str) -> None:
        self._url, self._data = url, b""

    def __enter__(self) -> Upload:
        return self

    def write(self, data: bytes) -> int:
        Remote.act("write", self._url)
        self._data += data
        return len(data)

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is None:
            Remote.files[self._url] = self._data


class Remote(FileSystem):
    """A remote file system whose outcomes are scripted, one for each call of a kind."""

    files: dict[str, bytes] = {}
    script: dict[str, list[BaseException | None]] = {}
    calls: list[tuple[object, ...]] = []

    @classmethod
    def act(cls, kind: str, *what: object) -> None:
        cls.calls.append((kind, *what))
        outcomes = cls.script.get(kind)
        if outcomes and (error := outcomes.pop(0)):
            raise error

    @classmethod
    def scheme(cls) -> str:
        return "scripted"

    def match(self, patterns: list[str], limits: object = None) -> list[MatchResult]:
        self.act("match", *patterns)
        (pattern,) = patterns
        wanted = re.compile(self.translate_pattern(pattern))  # as Beam's object stores do it
        found = [url for url in sorted(self.files) if wanted.match(url)]
        metadata = [FileMetadata(url, len(self.files[url]), 1.5) for url in found]
        return [MatchResult(pattern, metadata)]

    def open(self, path: str, *_: object, **__: object) -> Handle:
        self.act("open")
        if path not in self.files:
            raise ClientError(f"404 {path}", code=404)
        return Handle(self.files[path], self.act)

    def create(self, path: str, *_: object, **__: object) -> Upload:
        self.act("create", path)
        return Upload(path)

    def exists(self, path: str) -> bool:
        self.act("exists")
        return path in self.files

    def delete(self, paths: list[str]) -> None:
        for path in paths:
            self.act("delete", path)
            if self.files.pop(path, None) is None:
                raise BeamIOError("Delete operation failed", {path: 404})

    def _list(self, dir_or_prefix: str) -> Iterator[FileMetadata]:
        raise NotImplementedError

    join = split = mkdirs = has_dirs = copy = rename = _list
    size = last_updated = checksum = metadata = _list


@pytest.fixture
def remote(slept: list[float]) -> Iterator[type[Remote]]:
    Remote.files, Remote.script, Remote.calls = {}, {}, []
    yield Remote
    Remote.files = {}


A, B = "scripted://b/in/a.faa", "scripted://b/in/b.faa"
LOST = ClientError("the connection\nis lost", code=503)
FORBIDDEN = ClientError("403 go away", code=403)
DATA = b">a\nMKTAYI\n>b\nACDEFG\n"


def kinds(remote: type[Remote]) -> list[object]:
    return [call[0] for call in remote.calls]


@pytest.mark.parametrize("opening", [[], [LOST], [LOST, LOST, LOST]])
def test_opening_is_tried_again(
    remote: type[Remote], slept: list[float], opening: list[BaseException | None]
) -> None:
    remote.files[A] = DATA
    remote.script["open"] = [*opening, None]
    assert storage.read_bytes(A) == DATA
    assert kinds(remote).count("open") == len(opening) + 1
    assert len(slept) == len(opening)


def test_reading_goes_on_where_it_broke_off_and_progress_begins_a_new_count(
    remote: type[Remote], slept: list[float]
) -> None:
    remote.files[A] = DATA
    # Six failures, but never more than three at one place.
    remote.script["read"] = [None, LOST, LOST, LOST, None, LOST, LOST, LOST, None]
    assert b"".join(storage.open_chunks(A, chunk_size=8)) == DATA
    positions = [call[1] for call in remote.calls if call[0] == "read"]
    assert positions == [0, 8, 8, 8, 8, 16, 16, 16, 16, len(DATA)]
    assert slept == pytest.approx([1, 2, 4, 1, 2, 4], rel=0.25)


def test_reading_that_does_not_get_on_ends_after_four_attempts(
    remote: type[Remote], slept: list[float]
) -> None:
    remote.files[A] = DATA
    remote.script["read"] = [None] + [LOST] * 9
    chunks = storage.open_chunks(A, chunk_size=8)
    assert next(chunks) == DATA[:8]
    with pytest.raises(RetriedError, match=r"^the connection is lost \(tried 4 times\)$"):
        next(chunks)
    assert [call[1] for call in remote.calls if call[0] == "read"] == [0, 8, 8, 8, 8]
    assert len(slept) == 3


def test_a_remote_file_that_is_not_there_is_asked_for_once(
    remote: type[Remote], slept: list[float]
) -> None:
    with pytest.raises(OSError, match=f"404 {A}"):
        storage.read_bytes(A)
    assert (kinds(remote), slept) == (["open"], [])


def test_a_local_file_is_read_on_too(
    tmp_path: Path, slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.faa").write_bytes(DATA)
    outcomes = [None, os_error("ESTALE"), None, None, os_error("EIO"), None]

    def act(*_: object) -> None:
        if error := outcomes.pop(0):
            raise error

    monkeypatch.setattr(storage, "open", lambda *_: Handle(DATA, act), raising=False)
    assert b"".join(storage.open_chunks(str(tmp_path / "a.faa"), chunk_size=8)) == DATA
    assert (outcomes, len(slept)) == ([], 2)


def test_an_upload_is_repeated_whole(remote: type[Remote], slept: list[float]) -> None:
    remote.script["write"] = [LOST, None]
    remote.script["create"] = [LOST, None, None]
    storage.publish("scripted://b/out", "a", lambda handle: handle.write(DATA))
    assert remote.files == {"scripted://b/out/a": DATA}
    assert kinds(remote) == ["create", "create", "write", "create", "write"]
    assert len(slept) == 2


def test_an_upload_that_never_works_is_given_up(remote: type[Remote], slept: list[float]) -> None:
    remote.script["create"] = [LOST] * 9
    with pytest.raises(RetriedError) as caught:
        storage.publish("scripted://b/out", "a", lambda handle: handle.write(DATA))
    assert (kinds(remote), len(slept), caught.value.attempts) == (["create"] * 4, 3, 4)
    assert remote.files == {}


def test_an_upload_that_is_not_allowed_is_tried_once(
    remote: type[Remote], slept: list[float]
) -> None:
    remote.script["create"] = [FORBIDDEN]
    with pytest.raises(OSError, match="403 go away"):
        storage.publish("scripted://b/out", "a", lambda handle: handle.write(DATA))
    assert (kinds(remote), slept) == (["create"], [])


def test_looking_is_tried_again(remote: type[Remote], slept: list[float]) -> None:
    remote.files = {A: DATA, B: DATA}
    remote.script = {
        "match": [LOST, BeamIOError("List operation failed", {A: LOST}), None],
        "exists": [LOST, None],
    }
    assert [found.url for found in storage.match("scripted://b/in/")] == [A, B]
    assert storage.exists(A)
    assert kinds(remote) == ["match"] * 3 + ["exists"] * 2
    assert len(slept) == 3


def test_a_name_that_looks_like_a_pattern_stands_for_itself(remote: type[Remote]) -> None:
    root, other = "scripted://b/run[1]*", "scripted://b/run1"
    remote.files = dict.fromkeys((f"{root}/a.faa", f"{root}/in/b.faa", f"{other}/c.faa"), DATA)
    assert storage.list_names(root) == ["a.faa"]
    assert storage.list_names(f"{root}/pt") == []
    below = [f"{root}/a.faa", f"{root}/in/b.faa"]
    assert [found.url for found in storage.match(f"{root}/")] == below
    assert [found.url for found in storage.match(f"{root}/a.faa")] == below[:1]
    assert getattr(storage.look_up(f"{root}/a.faa"), "url", None) == below[0]
    assert [file.source for file in find_fasta([f"{root}/a.faa"]).files] == ["a.faa"]
    assert [file.source for file in find_fasta([f"{root}/"]).files] == ["a.faa", "in/b.faa"]
    # What is not there as it is written is a pattern.
    assert [found.url for found in storage.match("scripted://b/run[1]/*")] == [f"{other}/c.faa"]
    assert [file.source for file in find_fasta(["scripted://b/r*1/"]).files] == ["run1/c.faa"]
    storage.delete(root)
    assert remote.files.keys() == {f"{other}/c.faa"}


def test_where_what_is_deleted_is_a_pattern_a_name_still_stands_for_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in Beam's file system for gs://."""
    there = {"gs://b/pt/x[1].pt", "gs://b/pt/x1.pt", "gs://b/pt/x*.pt"}

    def match(patterns: list[str]) -> list[MatchResult]:
        (pattern,) = patterns
        wanted = re.compile(FileSystem.translate_pattern(pattern))
        found = [FileMetadata(url, 1, 1.5) for url in sorted(there) if wanted.match(url)]
        return [MatchResult(pattern, found)]

    def delete(paths: list[str]) -> None:
        for path in paths:
            there.difference_update(file.path for file in match([path])[0].metadata_list)

    monkeypatch.setattr(FileSystems, "match", match)
    monkeypatch.setattr(FileSystems, "delete", delete)
    monkeypatch.setattr(FileSystems, "exists", there.__contains__)
    storage.delete("gs://b/pt/x[1].pt")
    assert there == {"gs://b/pt/x1.pt", "gs://b/pt/x*.pt"}
    storage.delete("gs://b/pt/x*.pt")
    assert there == {"gs://b/pt/x1.pt"}
    storage.delete("gs://b/pt")
    assert there == set()


def test_deleting_looks_anew_at_each_attempt(remote: type[Remote], slept: list[float]) -> None:
    remote.files = {A: DATA, B: DATA}
    remote.script["delete"] = [None, LOST, None]
    storage.delete("scripted://b/in")
    assert remote.files == {}
    assert [call for call in remote.calls if call[0] == "delete"] == [
        ("delete", A), ("delete", B), ("delete", B)
    ]  # fmt: skip
    assert kinds(remote).count("match") == 2
    assert len(slept) == 1


@pytest.mark.parametrize(("script", "attempts"), [([LOST] * 9, 4), ([LOST, FORBIDDEN], 2)])
def test_the_dead_letter_of_a_file_says_how_often_it_was_tried(
    remote: type[Remote], script: list[BaseException | None], attempts: int
) -> None:
    remote.files[A] = DATA
    remote.script["open"] = script
    (letter,) = read_items(FastaFile(A, "a.faa", len(DATA), 1.5))
    assert isinstance(letter, DeadLetter)
    assert (letter.error_type, letter.attempts) == ("unreadable", attempts)
    assert kinds(remote).count("open") == attempts


def test_the_dead_letter_of_a_file_that_is_not_there_was_tried_once(
    remote: type[Remote], slept: list[float]
) -> None:
    (letter,) = read_items(FastaFile(A, "a.faa", 1, 1.5))
    assert isinstance(letter, DeadLetter)
    assert (letter.error_type, letter.attempts, slept) == ("unreadable", 1, [])
