"""Tests of what is left to do in an output that was begun."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers import (
    commit,
    make_block,
    make_dead_letter,
    make_file_record,
    make_protein,
    sha256,
)
from transforms import storage
from transforms.errors import ConfigurationError
from transforms.inputs.finding import FastaFile
from transforms.output.commits import (
    Output,
    delete_part_record,
    read_commits,
    write_file_records,
)
from transforms.output.removal import ALL_FAILURES, EVERYTHING, FILE_FAILURE, Removal
from transforms.output.resuming import Work, apply, failed_urls, find_done, find_work, tidy

NOW = sha256("now")
BEFORE = sha256("before")


def fasta(tmp_path: Path, source: str = "a.fa", text: str = "now") -> FastaFile:
    path = tmp_path / "in" / source
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    status = path.stat()
    return FastaFile(str(path), source, status.st_size, status.st_mtime)


def finish(output: Output, file: FastaFile, sha: str = NOW, **fields: object) -> None:
    """Writes the record and the .pt of a finished file."""
    pt = f"pt/{file.source.removesuffix('.fa')}_ESM.pt"
    storage.publish(output.root, pt, lambda handle: handle.write(b"x"))
    held = [
        part.sources[file.source]
        for part in read_commits(output.root).by_source().get(file.source, [])
    ]
    rows, dead = sum(each.rows for each in held), sum(each.dead_letters for each in held)
    told = {"url": file.url, "size": file.size, "mtime": file.mtime, "sha256": sha, "pt": pt}
    told |= {"pt_sha256": sha256("x"), **fields}
    record = make_file_record(file.source, rows, dead, **told)
    write_file_records(output.root, sha256(file.source), [record])


def row(sha: str, ordinal: int = 0, source: str = "a.fa") -> object:
    return make_block(make_protein(ordinal, source, file_sha256=sha))


def letter(sha: str, ordinal: int = 1) -> object:
    return make_dead_letter(ordinal, file_sha256=sha)


def failure(sha: str) -> object:
    return make_dead_letter(None, file_sha256=sha)


def commit_each(output: Output, items: list) -> None:
    """Writes a part of each."""
    for sequence, item in enumerate(items):
        commit(output, item, sequence=sequence)


def work_of(output: Output, *files: FastaFile, retry_failed: bool = False) -> Work:
    return find_work(output.root, files, read_commits(output.root), retry_failed)


@pytest.mark.parametrize(
    ("held", "retry_failed", "removal"),
    [
        ([], False, Removal()),
        ([row(NOW)], False, Removal()),
        ([row(NOW), letter(NOW)], False, Removal()),
        ([row(NOW), letter(NOW)], True, ALL_FAILURES),
        ([row(NOW)], True, Removal()),
        ([row(BEFORE)], False, EVERYTHING),
        ([letter(BEFORE)], False, EVERYTHING),
        ([row(BEFORE), letter(BEFORE)], True, EVERYTHING),
        ([row(BEFORE), row(NOW, 1)], False, EVERYTHING),
        # It fails again in the same way: nothing is written anew.
        ([failure(NOW)], False, Removal()),
        ([failure(NOW)], True, ALL_FAILURES),
        ([failure(BEFORE)], False, EVERYTHING),
        ([failure("")], False, EVERYTHING),
        # It changed while it was read, and is back as it was.
        ([row(NOW), failure("")], False, EVERYTHING),
        ([row(NOW), failure(NOW)], False, EVERYTHING),
    ],
)
def test_what_of_an_unfinished_file_counts(
    output: Output, tmp_path: Path, held: list, retry_failed: bool, removal: Removal
) -> None:
    commit_each(output, held)
    file = fasta(tmp_path)
    work = work_of(output, file, retry_failed=retry_failed)
    assert [each.source for each in work.todo] == ["a.fa"]
    assert work.removals == ({} if removal == Removal() else {"a.fa": removal})


@pytest.mark.parametrize(
    ("held", "sha", "retry_failed", "removal", "again"),
    [
        ([row(NOW)], NOW, False, Removal(), False),
        ([row(NOW)], NOW, True, Removal(), False),
        ([row(NOW), letter(NOW)], NOW, False, Removal(), False),
        ([row(NOW), letter(NOW)], NOW, True, ALL_FAILURES, True),
        ([row(BEFORE)], BEFORE, False, EVERYTHING, True),
        ([row(BEFORE), letter(BEFORE)], BEFORE, True, EVERYTHING, True),
        # It could be read in the end.
        ([row(NOW), failure(NOW)], NOW, False, FILE_FAILURE, False),
        # Two versions, of which only one can be that of its record.
        ([row(BEFORE), row(NOW, 1)], NOW, False, EVERYTHING, True),
    ],
)
def test_what_of_a_finished_file_counts(
    output: Output, tmp_path: Path, held: list, sha: str, retry_failed: bool, removal: Removal,
    again: bool,
) -> None:  # fmt: skip
    file = fasta(tmp_path)
    commit_each(output, held)
    finish(output, file, sha, mtime=1.0)  # so that its content decides
    work = work_of(output, file, retry_failed=retry_failed)
    assert [each.source for each in work.todo] == ["a.fa"] * again
    assert work.reopened == ({"a.fa"} if again else set())
    assert work.removals == ({} if removal == Removal() else {"a.fa": removal})


def test_a_file_of_the_same_size_and_time_is_not_read(output: Output, tmp_path: Path) -> None:
    file = fasta(tmp_path)
    commit(output, row(NOW))
    finish(output, file)
    os.unlink(file.url)
    assert work_of(output, file) == Work(())


def test_a_pt_that_is_gone_is_to_be_written_again(output: Output, tmp_path: Path) -> None:
    file = fasta(tmp_path)
    commit(output, row(NOW))
    finish(output, file)
    os.unlink(Path(output.root, "pt/a_ESM.pt"))
    assert work_of(output, file) == Work((replace(file, sha256=NOW),), frozenset({"a.fa"}))


def test_on_an_object_store_each_pt_is_not_asked_for(
    output: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(output, row(NOW), row(NOW, 0, "b.fa"))
    files = [fasta(tmp_path, name) for name in ("a.fa", "b.fa")]
    for file in files:
        finish(output, file)
    os.unlink(Path(output.root, "pt/b_ESM.pt"))
    committed = read_commits(output.root)
    monkeypatch.setattr(storage, "is_local", lambda url: False)
    monkeypatch.setattr(storage, "exists", lambda url: pytest.fail(f"asked for {url}"))
    there = [storage.Found(f"{output.root}/pt/a_ESM.pt", 1, 1.5)]
    monkeypatch.setattr(storage, "match", {f"{output.root}/pt/": there}.__getitem__)
    assert [file.source for file in find_work(output.root, files, committed).todo] == ["b.fa"]
    done, _ = find_done(output.root, committed)
    assert {source: record is not None for source, record in done.items()} == {
        "a.fa": True,
        "b.fa": False,
    }


def test_a_finished_file_of_which_a_part_is_gone_is_completed(
    output: Output, tmp_path: Path
) -> None:
    file = fasta(tmp_path)
    commit(output, row(NOW), row(NOW, 1), sequence=0)
    part = commit(output, row(NOW, 2), sequence=1)
    finish(output, file)
    assert work_of(output, file) == Work(())
    delete_part_record(output.root, part)
    assert work_of(output, file) == Work((replace(file, sha256=NOW),), frozenset({"a.fa"}))


def test_a_finished_file_with_more_records_than_it_has_is_embedded_anew(
    output: Output, tmp_path: Path
) -> None:
    file = fasta(tmp_path)
    commit(output, row(NOW), sequence=0)
    finish(output, file)
    commit(output, row(NOW), sequence=1)
    assert work_of(output, file) == Work((file,), frozenset({"a.fa"}), {"a.fa": EVERYTHING})


@pytest.mark.parametrize(
    ("held", "retry_failed", "version"),
    [
        ([], False, ""),
        ([row(NOW)], False, NOW),
        ([letter(NOW)], False, NOW),
        ([letter(NOW)], True, ""),
        ([row(NOW), letter(NOW)], True, NOW),
        ([row(BEFORE)], False, ""),
        ([failure(NOW)], False, ""),
    ],
)
def test_a_file_must_be_read_in_the_version_of_its_records_that_stay(
    output: Output, tmp_path: Path, held: list, retry_failed: bool, version: str
) -> None:
    commit_each(output, held)
    (file,) = work_of(output, fasta(tmp_path), retry_failed=retry_failed).todo
    assert file.sha256 == version


def test_files_that_are_not_asked_for_are_left_alone(output: Output, tmp_path: Path) -> None:
    commit(output, row(BEFORE), letter(BEFORE))
    other = fasta(tmp_path, "b.fa")
    assert work_of(output, other, retry_failed=True) == Work((other,))


def test_an_embedded_file_that_cannot_be_read_is_refused(output: Output, tmp_path: Path) -> None:
    commit(output, row(NOW))
    file = fasta(tmp_path)
    os.unlink(file.url)
    with pytest.raises(ConfigurationError, match=r"a\.fa was embedded before and cannot be read"):
        work_of(output, file)


def test_a_failed_file_that_still_cannot_be_read_is_tried_again(
    output: Output, tmp_path: Path
) -> None:
    commit(output, failure(""))
    file = fasta(tmp_path)
    os.unlink(file.url)
    assert work_of(output, file) == Work((file,))


def test_a_file_that_would_take_the_pt_of_another_is_refused(
    output: Output, tmp_path: Path
) -> None:
    finish(output, fasta(tmp_path, "a.faa"))
    with pytest.raises(ConfigurationError, match=r"same \.pt as a\.faa"):
        work_of(output, fasta(tmp_path, "a.fa"))


def test_a_file_that_takes_the_place_of_another_is_refused_while_there_are_records_of_that(
    output: Output, tmp_path: Path
) -> None:
    commit(output, make_dead_letter(None, "b.fa.gz", file_sha256=BEFORE))
    commit(output, row(BEFORE, 0, "a.fa.gz"), sequence=1)
    b = fasta(tmp_path, "b.fa")
    assert work_of(output, b) == Work((b,))
    with pytest.raises(ConfigurationError, match=r"same \.pt as a\.fa\.gz"):
        work_of(output, fasta(tmp_path, "a.fa"))


def test_what_does_not_count_is_taken_out(output: Output, tmp_path: Path) -> None:
    file = fasta(tmp_path)
    commit(output, row(BEFORE), letter(BEFORE), row(NOW, 0, "b.fa"))
    finish(output, file, BEFORE, mtime=1.0)
    apply(output.root, "run2", work_of(output, file))
    left = read_commits(output.root)
    assert left.files == {}
    assert [sorted(part.sources) for part in left.parts.values()] == [["b.fa"]]
    assert not Path(output.root, "pt/a_ESM.pt").exists()
    assert work_of(output, file) == Work((file,))


def test_what_was_taken_out_to_be_embedded_anew_is_not_forgotten(
    output: Output, tmp_path: Path
) -> None:
    file = fasta(tmp_path)
    commit(output, row(BEFORE), letter(BEFORE))
    finish(output, file, BEFORE, mtime=1.0)
    apply(output.root, "run2", work_of(output, file))
    assert not read_commits(output.root).parts
    assert failed_urls(output.root, "/in", read_commits(output.root)) == ("/in/a.fa",)
    # Once it is finished, or has failed, there is nothing to remember.
    commit(output, row(NOW))
    finish(output, file)
    assert failed_urls(output.root, "/in", read_commits(output.root)) == ()
    tidy(output.root, "run2", read_commits(output.root))
    assert not Path(output.root, "commits/reopened.json").exists()


def test_what_is_noted_is_noted_before_anything_is_taken_out(
    output: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = fasta(tmp_path)
    commit(output, letter(BEFORE))
    finish(output, file, BEFORE, mtime=1.0)
    work = work_of(output, file)

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(storage, "delete", killed)
    with pytest.raises(KeyboardInterrupt):
        apply(output.root, "run2", work)
    assert Path(output.root, "commits/reopened.json").exists()


def test_of_a_file_that_changed_under_a_run_only_its_dead_letter_stays(
    output: Output, tmp_path: Path
) -> None:
    commit(output, row(NOW), letter(NOW), row(NOW, 0, "b.fa"))
    commit(output, failure(""), sequence=1)
    # A run that was killed had come as far as this.
    for name in ("pt/a_ESM.pt", "pt/a_ESM.failures.jsonl"):
        storage.publish(output.root, name, lambda handle: handle.write(b"x"))
    tidy(output.root, "run1", read_commits(output.root))
    assert not list(Path(output.root, "pt").iterdir())
    held = [
        (source, each.rows, each.dead_letters, each.failed)
        for part in read_commits(output.root).parts.values()
        for source, each in part.sources.items()
    ]
    assert sorted(held) == [("a.fa", 0, 0, True), ("b.fa", 1, 0, False)]


def test_a_file_that_failed_does_not_take_the_pt_of_one_that_has_its_name_now(
    output: Output, tmp_path: Path
) -> None:
    commit(output, make_dead_letter(None, "a.fa.gz"))
    commit(output, row(NOW), sequence=1)
    finish(output, fasta(tmp_path))
    storage.publish(output.root, "pt/a_ESM.pt", lambda handle: handle.write(b"x"))
    tidy(output.root, "run1", read_commits(output.root))
    assert Path(output.root, "pt/a_ESM.pt").exists()
    assert read_commits(output.root).failed_sources() == {"a.fa.gz"}


def test_the_dead_letter_of_a_file_that_was_read_in_the_end_goes(
    output: Output, tmp_path: Path
) -> None:
    commit(output, failure(NOW))
    commit(output, row(NOW), letter(NOW), sequence=1)
    finish(output, fasta(tmp_path))
    tidy(output.root, "run1", read_commits(output.root))
    (part,) = read_commits(output.root).parts.values()
    assert (part.sources["a.fa"].rows, part.sources["a.fa"].dead_letters) == (1, 1)
    assert not part.sources["a.fa"].failed


def test_where_the_files_with_dead_letters_lie(output: Output) -> None:
    commit(output, row(NOW, 0, "x/good.fa"), letter(NOW))
    commit(output, make_dead_letter(None, "x/broken.fa"), sequence=1)
    committed = read_commits(output.root)
    assert failed_urls(output.root, "/in", committed) == ("/in/a.fa", "/in/x/broken.fa")


def test_a_file_that_was_touched_is_read_once(output: Output, tmp_path: Path) -> None:
    commit(output, row(NOW), row(NOW, 0, "b.fa"))
    files = [fasta(tmp_path), fasta(tmp_path, "b.fa")]
    for file in files:
        finish(output, file, mtime=1.0)
    before = read_commits(output.root)
    work = work_of(output, *files)
    # Who only looks changes nothing.
    assert read_commits(output.root) == before
    assert work.todo == ()
    assert {record.source: record.mtime for record in work.touched} == {
        file.source: file.mtime for file in files
    }
    apply(output.root, "run2", work)
    assert not list(Path(output.root, "commits").glob("files-run2-*")), "they were not finished now"
    # Touched again and again, they have one record at any time.
    for mtime in (11.0, 12.0):
        os.utime(files[0].url, (mtime, mtime))
        files[0] = replace(files[0], mtime=mtime)
        apply(output.root, "run2", work_of(output, *files))
    noted = list(Path(output.root, "commits").glob("files-touched-*"))
    sources = [each["source"] for path in noted for each in json.loads(path.read_text())["files"]]
    assert sorted(sources) == ["a.fa", "b.fa"]
    for file in files:
        os.unlink(file.url)
    assert work_of(output, *files) == Work(())
    after = read_commits(output.root).files
    assert {
        s: replace(r, time="", mtime=1.0) for s, r in before.files.items()
    } == {s: replace(r, time="", mtime=1.0) for s, r in after.items()}  # fmt: skip


def test_the_time_of_a_file_that_is_to_be_done_again_is_not_noted(
    output: Output, tmp_path: Path
) -> None:
    commit(output, row(BEFORE))
    file = fasta(tmp_path)
    finish(output, file, BEFORE, mtime=1.0)
    assert work_of(output, file).touched == ()
