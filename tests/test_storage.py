"""Tests of the file system."""

from __future__ import annotations

import glob
import gzip
import os
from pathlib import Path
from typing import BinaryIO

import pytest
from apache_beam.io.filesystems import FileSystems

from tests.helpers import Upload, files_below
from transforms import storage


def publish(root: Path, name: str, data: bytes) -> None:
    storage.publish(str(root), name, lambda handle: handle.write(data))


@pytest.mark.parametrize("name", ["a.bin", "sub/folder/a.bin", "sub/a b[1] ü.bin"])
def test_what_is_published_is_there_and_nothing_else(tmp_path: Path, name: str) -> None:
    (tmp_path / "out").mkdir()
    publish(tmp_path / "out", name, b"content")
    assert files_below(tmp_path / "out") == [name]
    assert (tmp_path / "out" / name).read_bytes() == b"content"


def test_a_root_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="The output folder is gone"):
        publish(tmp_path / "out", "a.bin", b"content")
    assert files_below(tmp_path) == []


def test_a_file_of_that_name_is_replaced(tmp_path: Path) -> None:
    publish(tmp_path, "a", b"a longer old content")
    publish(tmp_path, "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"


@pytest.mark.parametrize("old", [None, b"old"])
@pytest.mark.parametrize("error", [OSError("no space"), RuntimeError("bug"), KeyboardInterrupt()])
def test_a_write_that_raises_leaves_nothing(
    tmp_path: Path, old: bytes | None, error: BaseException
) -> None:
    if old is not None:
        publish(tmp_path, "sub/a", old)

    def write(handle: BinaryIO) -> None:
        handle.write(b"half")
        raise error

    with pytest.raises(type(error)):
        storage.publish(str(tmp_path), "sub/a", write)
    assert files_below(tmp_path) == ([] if old is None else ["sub/a"])
    assert old is None or (tmp_path / "sub/a").read_bytes() == old


@pytest.mark.parametrize("old", [None, b"old"])
def test_a_reader_never_sees_half_a_file(tmp_path: Path, old: bytes | None) -> None:
    if old is not None:
        publish(tmp_path, "sub/a", old)
    seen = []
    (tmp_path / "sub").mkdir(exist_ok=True)

    def write(handle: BinaryIO) -> None:
        handle.write(b"half")
        handle.flush()
        seen.extend(path.read_bytes() for path in (tmp_path / "sub").iterdir())
        handle.write(b"whole")

    storage.publish(str(tmp_path), "sub/a", write)
    assert seen == ([] if old is None else [old])
    assert (tmp_path / "sub/a").read_bytes() == b"halfwhole"


def test_an_upload_is_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    bucket: dict[str, bytes] = {}
    monkeypatch.setattr(FileSystems, "create", lambda url, **_: Upload(bucket, url))
    storage.publish("gs://bucket/out", "pt/a", lambda handle: handle.write(b"content"))
    assert bucket == {"gs://bucket/out/pt/a": b"content"}

    def write(handle: BinaryIO) -> None:
        handle.write(b"half")
        raise RuntimeError("bug")

    with pytest.raises(RuntimeError, match="bug"):
        storage.publish("gs://bucket/out", "pt/b", write)
    assert list(bucket) == ["gs://bucket/out/pt/a"]


CONTENTS = {f"{folder}/{n}": f"{folder}{n}".encode() for folder in ("x", "y/z") for n in range(20)}


def write_of(data: bytes) -> storage.Write:
    return lambda handle: handle.write(data)


def test_files_that_are_published_together_are_each_like_one_alone(tmp_path: Path) -> None:
    publish(tmp_path, "x/3", b"a longer old content")
    files = {name: write_of(data) for name, data in CONTENTS.items()}
    storage.publish_all(str(tmp_path), files)
    assert {name: (tmp_path / name).read_bytes() for name in files_below(tmp_path)} == CONTENTS
    storage.publish_all(str(tmp_path), {})


def test_every_content_is_synced_before_any_file_appears_and_every_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    inodes: list[str] = []
    fsync, replace = os.fsync, os.replace

    def syncing(descriptor: int) -> None:
        fsync(descriptor)
        done.append(str(os.fstat(descriptor).st_ino))

    def replacing(path: str, target: str) -> None:
        inodes.append(str(os.stat(path).st_ino))
        replace(path, target)
        done.append(target)

    monkeypatch.setattr("transforms.local._FEW", 99)
    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(os, "replace", replacing)
    files = {name: write_of(data) for name, data in CONTENTS.items()}
    storage.publish_all(str(tmp_path), files)
    count = len(files)
    assert sorted(done[:count]) == sorted(inodes)
    assert done[count : 2 * count] == [str(tmp_path / name) for name in files]
    folders = [str((tmp_path / folder).stat().st_ino) for folder in ("x", "y/z")]
    assert sorted(done[2 * count :]) == sorted(folders)


@pytest.mark.parametrize("step", ["write", "sync"])
def test_where_one_of_several_fails_none_appears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space")

    if step == "sync":
        monkeypatch.setattr(os, "fsync", fail)
    files = {"a": write_of(b"a"), "b": fail if step == "write" else write_of(b"b")}
    with pytest.raises(OSError, match="no space"):
        storage.publish_all(str(tmp_path), files)
    assert files_below(tmp_path) == []


NAMES = ["a b.fa", "glob*.fa", "sub/c.fa", "sub/ünï.fa", "x[1].fa", "z?.fa"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "in"
    for number, name in enumerate(NAMES):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * number)
    return root


def matched(pattern: Path | str, below: Path) -> list[str]:
    return [str(Path(found.url).relative_to(below)) for found in storage.match(str(pattern))]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_stands_for_itself(folder: Path, name: str) -> None:
    (folder / "x1.fa").touch()
    (folder / "globe.fa").touch()
    (folder / "za.fa").touch()
    assert matched(folder / name, folder) == [name]


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_folder_stands_for_all_files_below_it(folder: Path, slash: str) -> None:
    assert matched(f"{folder}{slash}", folder) == NAMES


def test_globs(folder: Path) -> None:
    assert matched(folder / "*.fa", folder) == [name for name in NAMES if "/" not in name]
    assert matched(folder / "**/*.fa", folder) == NAMES
    assert matched(folder / "s*/c.fa", folder) == ["sub/c.fa"]
    assert matched(folder / "*", folder) == [name for name in NAMES if "/" not in name]
    assert matched(folder / "nothing*", folder) == []
    assert matched(folder / "nothing.fa", folder) == []


@pytest.mark.parametrize(
    "pattern",
    ["**", "**/*", "**/*.fa", "**/**/*.fa", "s*/**", "sub/**/c.fa", "**/sub/*", "*/**/*.fa"],
)
def test_two_stars_stand_for_what_they_do_in_python(folder: Path, pattern: str) -> None:
    for name in ("sub/deep/er/d.fa", "[x]/e.fa", ".hidden/f.fa", "sub/.g.fa"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    found = glob.glob(f"{folder}/{pattern}", recursive=True)
    assert matched(f"{folder}/{pattern}", folder) == sorted(
        {str(Path(path).relative_to(folder)) for path in found if Path(path).is_file()}
    )


def test_what_is_found_has_size_and_time(folder: Path) -> None:
    os.utime(folder / "z?.fa", (1.0, 1234.5))
    assert storage.match(str(folder / "z?.fa")) == [
        storage.Found(str(folder / "z?.fa"), NAMES.index("z?.fa"), 1234.5)
    ]


def test_a_link_to_a_folder_is_not_followed(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "linked.fa").touch()
    (folder / "link").symlink_to(other, target_is_directory=True)
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "dangling.fa").symlink_to(tmp_path / "nothing")
    (folder / "self.fa").symlink_to(folder / "self.fa")
    (folder / "zz.fa").symlink_to(other / "linked.fa")
    for pattern in (folder, folder / "**/*.fa"):
        assert matched(pattern, folder) == [*NAMES, "zz.fa"]


def test_chunks_are_the_bytes_as_they_are(tmp_path: Path) -> None:
    data = gzip.compress(b">a\nMKT\n" * 100)
    path = tmp_path / "a.fa.gz"
    path.write_bytes(data)
    chunks = list(storage.open_chunks(str(path), chunk_size=7))
    assert b"".join(chunks) == data
    assert {len(chunk) for chunk in chunks[:-1]} == {7}
    assert storage.read_bytes(str(path)) == data


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nothing"):
        list(storage.open_chunks(str(tmp_path / "nothing")))
    with pytest.raises(OSError, match="nothing"):
        storage.read_bytes(str(tmp_path / "nothing"))


def test_a_writable_root_is_left_as_it_was(tmp_path: Path) -> None:
    storage.check_writable(str(tmp_path / "new" / "out"))
    assert files_below(tmp_path) == []


@pytest.mark.parametrize("below", ["", "out"])
def test_nothing_can_be_written_below_a_file(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_bytes(b"content")
    with pytest.raises(OSError, match="file"):
        storage.check_writable(str(tmp_path / "file" / below))
    assert files_below(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"content"


def test_a_small_file_is_overwritten_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    for data in (b"old and longer", b"new"):
        storage.overwrite(str(path), data)
        assert path.read_bytes() == data
    before = path.open("rb")
    storage.overwrite(str(path), b"newest")
    assert before.read() == b"new"  # who was reading still has the whole old one
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="directory"):
        storage.overwrite(str(tmp_path / "folder"), b"new")
    assert files_below(tmp_path) == ["all.json"]


def test_a_folder_that_is_gone_is_not_made_for_a_small_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        storage.overwrite(str(tmp_path / "gone" / "all.json"), b"new")
    assert files_below(tmp_path) == []
    assert not (tmp_path / "gone").exists()


def test_names_in_a_folder(folder: Path) -> None:
    assert storage.list_names(str(folder)) == [name for name in NAMES if "/" not in name]
    assert storage.list_names(str(folder / "nothing")) == []


def test_delete_and_move(folder: Path) -> None:
    storage.delete(str(folder / "sub"))
    storage.delete(str(folder / "z?.fa"))
    storage.move(str(folder / "x[1].fa"), str(folder / "a b.fa"))
    assert files_below(folder) == ["a b.fa", "glob*.fa"]
    assert (folder / "a b.fa").read_bytes() == b"x" * NAMES.index("x[1].fa")


def test_urls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert storage.absolute("a/../b") == str(tmp_path / "b")
    assert storage.absolute("~/a") == "/home/me/a"
    assert storage.absolute("gs://bucket/a/../b") == "gs://bucket/a/../b"
    assert storage.join("/a/", "b", "c") == "/a/b/c"
    assert storage.join("gs://bucket/a/", "b", "c") == "gs://bucket/a/b/c"
    assert storage.is_local("a:b")
    assert not storage.is_local("s3://bucket/a")
    assert storage.is_directory(str(tmp_path))
    assert not storage.exists(str(tmp_path / "nothing"))
