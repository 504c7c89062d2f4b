"""Tests of .pt files that grow while their FASTA files are under way."""

from __future__ import annotations

import errno
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from pipeline import verify
from pipeline.run import main
from pipeline.terminal import EXIT_DEAD_LETTERS, EXIT_OK
from tests.command import exit_code_of
from tests.helpers import commit, files_below, make_block, make_dead_letter, make_end, make_protein
from transforms import storage
from transforms.esm_pt import _WriteEsmPtDoFn, finish_files
from transforms.items import FinishedFile, Item, Settled
from transforms.naming import pt_name
from transforms.output.commits import Output, delete_part_record, read_commits, read_part_record
from transforms.output.committed import Rows
from transforms.output.gathering import Gathered
from transforms.output.growing import MOST_FILES, GrowingFile


def write_parts(output: Output, *ordinals: range, source: str = "a.fa") -> list[Settled]:
    """Commits a part for each range, and returns what they settle."""
    return [settle(output, number, r, source) for number, r in enumerate(ordinals)]


def settle(output: Output, number: int, ordinals: range, source: str = "a.fa") -> Settled:
    rows = [make_protein(ordinal, source) for ordinal in ordinals]
    name = commit(output, make_block(*rows), sequence=number)
    sha256 = read_part_record(output.root, name).sources[source].sha256
    return Settled(source, sha256, name, len(rows), 0)


def finish(settled: list[Settled], dead: int = 0) -> FinishedFile:
    rows = sum(each.rows for each in settled)
    end = make_end(rows + dead, settled[0].source)
    parts = tuple(sorted(each.part for each in settled))
    assert end.file_sha256 == settled[0].file_sha256
    return FinishedFile(end, rows, dead, parts)


def run(output: Output, *items: Item) -> None:
    """Gives the step items in a bundle each, as a timer makes one of the last part."""
    dofn = _WriteEsmPtDoFn(output)
    for item in items:
        dofn.start_bundle()
        assert list(dofn.process(item)) == [item]
        dofn.finish_bundle()
    dofn.teardown()
    assert files_below(Path(output.root) / storage.STAGING) == []


def pt_of(output: Output) -> bytes:
    return (Path(output.root) / pt_name("a.fa")).read_bytes()


def written_at_the_end(output: Output, finished: FinishedFile) -> bytes:
    """Returns the .pt as it is made of the parts alone."""
    parts = {name: read_part_record(output.root, name) for name in finished.parts}
    finish_files([finished], parts, output)
    data = pt_of(output)
    (Path(output.root) / pt_name("a.fa")).unlink()
    return data


def make_three_parts(output: Output) -> tuple[list[Settled], FinishedFile, bytes]:
    """Returns what settles them, the file that they finish, and its .pt."""
    settled = write_parts(output, range(3), range(3, 6), range(6, 9))
    finished = finish(settled)
    return settled, finished, written_at_the_end(output, finished)


@pytest.fixture
def read_back(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files whose vectors were read from their parts."""
    sources: list[str] = []
    read_vectors = Gathered.read_vectors

    def noted(self: Gathered) -> Iterator[np.ndarray]:
        sources.append(self.source)
        return read_vectors(self)

    monkeypatch.setattr(Gathered, "read_vectors", noted)
    return sources


def check_growth(
    output: Output, settled: list[Settled], read_back: list[str], dead: int = 0
) -> None:
    """Makes sure that a .pt grows, and is as the parts alone make it."""
    finished = finish(settled, dead=dead)
    expected = written_at_the_end(output, finished)
    read_back.clear()
    run(output, *settled, finished)
    assert pt_of(output) == expected
    assert read_back == []


def test_what_has_grown_is_what_the_parts_hold(output: Output, read_back: list[str]) -> None:
    settled = write_parts(output, range(3), range(3, 4), range(4, 9))
    check_growth(output, settled, read_back)
    digest = read_commits(output.root).files["a.fa"].pt_sha256
    assert digest == hashlib.sha256(pt_of(output)).hexdigest()


def test_a_run_grows_what_it_embeds(tmp_path: Path, read_back: list[str]) -> None:
    """Two files, one of which lies in several parts, with a record that fails in between."""
    for name in "ab":
        records = [f">{i}\n{'M' * (i % 7 + 90)}{'1' * (i == 99)}\n" for i in range(900)]
        (tmp_path / f"{name}.fa").write_text("".join(records))
    out = tmp_path / "out"
    inputs = ("--input", str(tmp_path / "?.fa"), "--model", "demo", "--quiet")
    assert exit_code_of(main, *inputs, "--output", str(out)) == EXIT_DEAD_LETTERS
    assert len(read_commits(str(out)).files["a.fa"].parts) > 1
    assert "a.fa" not in read_back
    assert exit_code_of(verify.main, str(out)) == EXIT_OK


def test_failures_in_between_do_not_stop_it(output: Output, read_back: list[str]) -> None:
    name = commit(output, make_block(make_protein(0), make_protein(2)), make_dead_letter(1))
    first = Settled("a.fa", make_end(0).file_sha256, name, 2, 1)
    settled = [first, settle(output, 1, range(3, 5))]
    check_growth(output, settled, read_back, dead=1)


def test_files_that_lie_in_one_part_do_not_begin_to_grow(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a part settles is told of all its files before any of them is finished."""
    settled = []
    for number in range(3):
        sources = [f"{number}-{n}.fa" for n in range(5)]
        blocks = [make_block(*(make_protein(i, source) for i in range(4))) for source in sources]
        name = commit(output, *blocks, sequence=number)
        held = read_part_record(output.root, name).sources
        settled.append([Settled(s, held[s].sha256, name, 4, 0) for s in sources])
    monkeypatch.delattr(storage, "stage")
    run(output, *(item for each in settled for item in (*each, *(finish([s]) for s in each))))
    assert len(files_below(Path(output.root) / "pt")) == 15


@pytest.mark.parametrize("seen", [(1, 0, 2), (0, 2, 1), (2, 1, 0)])
def test_parts_that_do_not_follow_each_other_are_read_back(
    output: Output, seen: tuple[int, ...], read_back: list[str]
) -> None:
    settled, finished, expected = make_three_parts(output)
    read_back.clear()
    run(output, *(settled[number] for number in seen), finished)
    assert pt_of(output) == expected
    assert read_back == ["a.fa"]


def test_parts_that_were_not_all_seen_are_read_back(output: Output, read_back: list[str]) -> None:
    """As where other workers have seen the rest."""
    settled, finished, expected = make_three_parts(output)
    read_back.clear()
    run(output, settled[0], settled[2], finished)
    assert pt_of(output) == expected
    assert read_back == ["a.fa"]


def test_on_a_full_disk_it_is_left_off(
    output: Output, monkeypatch: pytest.MonkeyPatch, read_back: list[str]
) -> None:
    settled, finished, expected = make_three_parts(output)
    read_back.clear()
    add = GrowingFile.add

    def fill(self: GrowingFile, name: str, rows: Rows) -> bool:
        if rows.ordinals[0] == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return add(self, name, rows)

    monkeypatch.setattr(GrowingFile, "add", fill)
    run(output, *settled, finished)
    assert pt_of(output) == expected
    assert read_back == ["a.fa"]


class Full(io.FileIO):
    """A file on a disk that is full: what is held of it cannot be written when it is closed."""

    def write(self, data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_what_cannot_be_written_is_taken_away(
    output: Output, monkeypatch: pytest.MonkeyPatch, read_back: list[str]
) -> None:
    settled, finished, expected = make_three_parts(output)
    read_back.clear()
    stage = storage.stage

    def full(root: str, name: str) -> BinaryIO:
        with stage(root, name) as handle:
            return io.BufferedWriter(Full(handle.name, "wb"), 1 << 20)

    monkeypatch.setattr(storage, "stage", full)
    first, second, third = settled
    run(output, first, second, first, third, finished)  # in which order they do not follow
    assert pt_of(output) == expected
    assert read_back == ["a.fa"]


def test_dead_letters_among_the_rows_of_others_do_not_stop_it(
    output: Output, read_back: list[str]
) -> None:
    settled = write_parts(output, range(2), range(2, 4))
    name = commit(output, make_dead_letter(4), make_block(make_protein(0, "b.fa")), sequence=2)
    settled.append(Settled("a.fa", settled[0].file_sha256, name, 0, 1))
    check_growth(output, settled, read_back, dead=1)


def test_a_part_that_was_written_anew_is_read_back(output: Output, read_back: list[str]) -> None:
    """A bundle that is tried again may compute other bits."""
    settled = write_parts(output, range(3), range(3, 6))
    dofn = _WriteEsmPtDoFn(output)
    dofn.start_bundle()
    for each in settled:
        list(dofn.process(each))
    rows = [make_protein(ordinal) for ordinal in range(3)]
    block = make_block(*rows)
    block.vectors[:] += 1
    delete_part_record(output.root, settled[0].part)
    assert commit(output, block, sequence=0) == settled[0].part
    finished = finish(settled)
    list(dofn.process(finished))
    dofn.finish_bundle()
    grown = pt_of(output)
    assert grown == written_at_the_end(output, finished)
    dofn.teardown()


def test_a_part_that_is_gone_stops_it(output: Output) -> None:
    settled = write_parts(output, range(3), range(3, 6))
    delete_part_record(output.root, settled[0].part)
    run(output, *settled)
    assert files_below(Path(output.root) / "pt") == []


def test_no_more_than_a_few_grow_at_a_time(output: Output) -> None:
    dofn = _WriteEsmPtDoFn(output)
    for number in range(0, 2 * (MOST_FILES + 3), 2):
        dofn.start_bundle()
        for part, ordinals in ((number, range(3)), (number + 1, range(3, 6))):
            list(dofn.process(settle(output, part, ordinals, source=f"{number}.fa")))
        dofn.finish_bundle()
        assert len(files_below(Path(output.root) / storage.STAGING)) <= MOST_FILES
    assert len(files_below(Path(output.root) / storage.STAGING)) == MOST_FILES
    dofn.teardown()
    assert files_below(Path(output.root) / storage.STAGING) == []
