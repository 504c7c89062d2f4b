"""Tests of the .pt of each file and of file records."""

from __future__ import annotations

import json
import math
import time
import tracemalloc
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.dying import dying
from tests.helpers import (
    assert_same_bits,
    commit,
    files_below,
    make_block,
    make_dead_letter,
    make_end,
    make_file_record,
    make_output,
    make_protein,
    sha256,
    vector_of,
)
from transforms import esm_pt, events, storage
from transforms.dead_letters import decode_dead_letters
from transforms.errors import AccountingError
from transforms.esm_pt import _WriteEsmPtDoFn, finish_files
from transforms.items import FinishedFile, Item, Settled
from transforms.naming import failures_name, pt_name
from transforms.output.commits import FileRecord, Output, PartRecord, read_commits, read_part_record


def write_parts(output: Output, *parts: list[Item]) -> list[str]:
    return [commit(output, *items, sequence=number) for number, items in enumerate(parts)]


def read_parts(output: Output, names: list[str]) -> list[PartRecord]:
    return [read_part_record(output.root, name) for name in names]


def finish(
    output: Output, names: list[str], rows: int, dead: int = 0, source: str = "a.fa"
) -> FileRecord:
    finished = FinishedFile(make_end(rows + dead, source), rows, dead, tuple(sorted(names)))
    parts = {part.part: part for part in read_parts(output, names)}
    (record,) = finish_files([finished], parts, output)
    return record


def load(output: Output, source: str = "a.fa") -> dict[str, Any]:
    return torch.load(Path(output.root) / pt_name(source), weights_only=True)


def test_the_format_is_that_of_the_script(output: Output) -> None:
    proteins = [make_protein(0, id="p"), make_protein(1, id="p"), make_protein(2, id="ü|1")]
    names = write_parts(output, [make_block(*proteins)])
    record = finish(output, names, rows=3)
    content = load(output)
    assert type(content) is dict
    assert list(content) == ["proteins", "data"]
    assert content["proteins"] == ["p", "p", "ü|1"]
    assert {type(name) for name in content["proteins"]} == {str}
    assert type(content["data"]) is list
    for tensor, protein in zip(content["data"], proteins, strict=True):
        assert type(tensor) is torch.Tensor
        assert (tensor.dtype, tensor.shape) == (torch.float32, (4,))
        assert_same_bits(tensor.numpy(), vector_of(protein))
    assert record.pt == pt_name("a.fa")
    assert record.pt_sha256 == sha256((Path(output.root) / record.pt).read_bytes())


@pytest.mark.parametrize("pt_order", ["input", "length"])
def test_one_storage_holds_the_rows_and_nothing_else(tmp_path: Path, pt_order: str) -> None:
    output, dim = make_output(tmp_path, pt_order=pt_order), 256
    few = [make_protein(i) for i in range(5)]
    many = [make_protein(i, "b.fa") for i in range(400)]
    names = write_parts(output, [make_block(*few, *many, dim=dim)])
    record = finish(output, names, rows=5)
    tensors = load(output)["data"]
    assert len({tensor.untyped_storage().data_ptr() for tensor in tensors}) == 1
    assert tensors[0].untyped_storage().nbytes() == 5 * dim * 4
    # What is not vectors is names and frame: the rows of the other file would be 400 kB.
    assert (Path(output.root) / record.pt).stat().st_size < 5 * dim * 4 + 8192


def test_an_empty_file_has_empty_lists(output: Output) -> None:
    record = finish(output, [], rows=0)
    assert load(output) == {"proteins": [], "data": []}
    assert files_below(output.root) == ["pt/a_ESM.pt"]
    assert (record.records, record.rows, record.dead_letters, record.parts) == (0, 0, 0, ())


def test_failures_stand_beside_what_worked(output: Output) -> None:
    dead = [make_dead_letter(i) for i in (3, 1)]
    other = make_dead_letter(0, "b.fa"), make_dead_letter(None, "broken.fa")
    names = write_parts(
        output,
        [make_block(make_protein(2)), dead[0], *other],
        [make_block(make_protein(0)), dead[1]],
    )
    record = finish(output, names, rows=2, dead=2)
    assert load(output)["proteins"] == ["a.fa-0", "a.fa-2"]
    data = (Path(output.root) / "pt/a_ESM.failures.jsonl").read_bytes()
    assert decode_dead_letters(data) == (dead[1], dead[0])
    assert json.loads(data.splitlines()[0])["sequence"] == "MKT1"
    assert (record.rows, record.dead_letters) == (2, 2)


def test_a_file_of_dead_letters_only(output: Output) -> None:
    names = write_parts(output, [make_dead_letter(0), make_block(make_protein(0, "b.fa"))])
    finish(output, names, rows=0, dead=1)
    assert load(output) == {"proteins": [], "data": []}
    assert (Path(output.root) / failures_name("a.fa")).exists()


def test_a_file_without_failures_has_no_failures_file(output: Output) -> None:
    names = write_parts(output, [make_block(make_protein(0)), make_dead_letter(0, "b.fa")])
    finish(output, names, rows=1)
    assert not (Path(output.root) / failures_name("a.fa")).exists()


def test_failures_that_are_none_any_more_go(output: Output) -> None:
    names = write_parts(output, [make_block(make_protein(0))], [make_dead_letter(1)])
    finish(output, names, rows=1, dead=1)
    other = write_parts(
        output, [make_block(make_protein(0, "b.fa"))], [make_dead_letter(1, "b.fa")]
    )
    finish(output, other, rows=1, dead=1, source="b.fa")
    names = write_parts(output, [make_block(make_protein(0))], [make_block(make_protein(1))])
    finish(output, names, rows=2)
    assert load(output)["proteins"] == ["a.fa-0", "a.fa-1"]
    assert not (Path(output.root) / failures_name("a.fa")).exists()
    assert (Path(output.root) / failures_name("b.fa")).exists()


@pytest.mark.parametrize("fails", [True, False])
@pytest.mark.parametrize("changes", [0, 1])
def test_a_gap_never_lacks_its_failures_wherever_a_run_is_killed(
    output: Output, fails: bool, changes: int
) -> None:
    # Two records of which one fails: now and not before, or before and not now.
    whole = [commit(output, make_block(make_protein(0), make_protein(1)), sequence=0)]
    gap = [commit(output, make_block(make_protein(0)), make_dead_letter(1), sequence=1)]
    before, now = ((whole, 2, 0), (gap, 1, 1)) if fails else ((gap, 1, 1), (whole, 2, 0))
    finish(output, *before)
    failures = Path(output.root) / failures_name("a.fa")
    with dying(changes, "os.replace", "transforms.storage.delete") as made:
        finish(output, *now)
    assert made.is_dead
    assert len(load(output)["proteins"]) == 2 or failures.exists()
    # The next run heals it.
    finish(output, *now)
    assert len(load(output)["proteins"]) == now[1]
    assert failures.exists() == fails


def test_the_same_records_give_the_same_bytes(output: Output) -> None:
    proteins = [make_protein(i) for i in range(6)]
    path = Path(output.root) / pt_name("a.fa")
    first = finish(output, write_parts(output, [make_block(*proteins)]), rows=6)
    content = path.read_bytes()
    parts = [[make_block(*proteins[4:])], [make_block(*proteins[:4])]]
    again = finish(output, write_parts(output, *parts), rows=6)
    assert path.read_bytes() == content
    assert again.pt_sha256 == first.pt_sha256 == sha256(content)


def test_by_length_each_part_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = make_output(tmp_path, pt_order="length")
    # The shortest and the longest record of each part belong to blocks far apart.
    parts = [[make_protein(i, sequence="M" * (i + 1)) for i in range(at, 40, 8)] for at in range(8)]
    names = write_parts(output, *([make_block(*proteins)] for proteins in parts))
    reads: Counter[str] = Counter()
    read_bytes = storage.read_bytes

    def counted(url: str) -> bytes:
        reads[url] += url.endswith(".parquet")
        return read_bytes(url)

    monkeypatch.setattr(storage, "read_bytes", counted)
    finish(output, names, rows=40)
    assert load(output)["proteins"] == [f"a.fa-{i}" for i in reversed(range(40))]
    assert reads.total() == 8  # of the ids nothing but their columns is fetched


def test_a_large_file_takes_little_memory(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    parts, rows, dim = 16, 512, 512
    size = rows * dim * 4
    names = [
        commit(
            output,
            make_block(*(make_protein(i) for i in range(at * rows, (at + 1) * rows)), dim=dim),
            *(
                make_dead_letter(parts * rows + at * 4 + i, sequence="M" * 100_000)
                for i in range(4)
            ),
            sequence=at,
        )
        for at in range(parts)
    ]
    tracemalloc.start()
    try:
        finish(output, names, rows=parts * rows, dead=4 * parts)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Two parts are kept as they were read, one is being read, one is being written; of dead
    # letters, those of eight parts.
    assert (Path(output.root) / pt_name("a.fa")).stat().st_size > parts * size
    assert (Path(output.root) / failures_name("a.fa")).stat().st_size > parts * 400_000
    assert peak < 10 * size


def test_a_dead_letter_of_the_whole_file_is_none_of_its_records(output: Output) -> None:
    # It could not be read in one run, and could in the next.
    names = write_parts(output, [make_dead_letter(None), make_block(make_protein(0))])
    finish(output, names, rows=1)
    assert load(output)["proteins"] == ["a.fa-0"]
    assert not (Path(output.root) / failures_name("a.fa")).exists()


PARTS = {
    # What is wrong with a file of four records, and which record it is, counted from 1.
    "missing": ([[make_block(make_protein(0), make_protein(1)), make_dead_letter(3)]], 3),
    "last missing": ([[make_block(*(make_protein(i) for i in range(3)))]], 4),
    "doubled row": (
        [
            [make_block(*(make_protein(i) for i in range(4)))],
            [make_block(make_protein(1))],
        ],
        2,
    ),
    "row and dead letter": (
        [[make_block(*(make_protein(i) for i in range(4))), make_dead_letter(2)]],
        3,
    ),
    "one too many": ([[make_block(*(make_protein(i) for i in range(5)))]], 5),
    "one missing, one doubled": (
        [[make_block(*(make_protein(i) for i in (0, 1, 3))), make_dead_letter(3)]],
        3,
    ),
    "all missing": ([[make_block(make_protein(0, "b.fa"))]], 1),
}


@pytest.mark.parametrize("pt", [True, False])
@pytest.mark.parametrize(("parts", "record"), PARTS.values(), ids=PARTS)
def test_a_record_without_exactly_one_outcome(
    tmp_path: Path, parts: list[list[Item]], record: int, pt: bool
) -> None:
    output = make_output(tmp_path, pt=pt)
    names = write_parts(output, *parts)
    with pytest.raises(AccountingError, match=rf"a\.fa: read 4.* record {record} has \d outcomes"):
        finish(output, names, rows=4)
    assert not (Path(output.root) / "pt").exists()


def test_the_record_of_a_file(tmp_path: Path) -> None:
    output = make_output(tmp_path, pt=False)
    names = write_parts(output, [make_block(make_protein(0))], [make_dead_letter(1)])
    record = finish(output, names, rows=1, dead=1)
    assert "2026-01-01" < record.time < "2999"
    expected = make_file_record("a.fa", 1, 1, residues=12, parts=tuple(names))
    assert replace(record, time="") == replace(expected, time="")
    assert not (Path(output.root) / "pt").exists()


SOURCES = ["a.fa", "b.fa", "sub/c.fa"]


def run_bundle(output: Output, per_record: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Finishes three files in one bundle; returns how many were on record after each of them.

    What is on record is there; what is not on record may be.
    """
    monkeypatch.setattr(esm_pt, "SECONDS_PER_RECORD", math.inf)
    monkeypatch.setattr(esm_pt, "FILES_PER_RECORD", per_record)
    names = write_parts(output, [make_block(*(make_protein(0, source) for source in SOURCES))])
    on_record = []
    dofn = _WriteEsmPtDoFn(output)
    dofn.start_bundle()
    for source in SOURCES:
        finished = FinishedFile(make_end(1, source), 1, 0, tuple(names))
        assert list(dofn.process(finished)) == [finished]
        committed = read_commits(output.root).files
        assert all(load(output, name)["proteins"] == [f"{name}-0"] for name in committed)
        on_record.append(len(committed))
    dofn.finish_bundle()
    assert [load(output, source)["proteins"] for source in SOURCES] == [[f"{s}-0"] for s in SOURCES]
    return on_record


def record_files(output: Output) -> list[str]:
    return [name for name in files_below(output.root) if name.startswith("commits/files-run1-")]


def test_several_files_share_one_record_file(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[events.Event] = []
    with events.listening(heard.append):
        assert run_bundle(output, 100, monkeypatch) == [0, 0, 0]
    assert len(record_files(output)) == 1
    assert sorted(read_commits(output.root).files) == SOURCES
    finished = [event for event in heard if isinstance(event, events.FileFinished)]
    assert [(event.source, event.rows, event.dead_letters) for event in finished] == [
        (source, 1, 0) for source in SOURCES
    ]


@pytest.mark.parametrize(("age", "least", "most"), [(1000.0, 1000.0, 1500.0), (-1000.0, 0.0, 0.0)])
def test_it_is_told_how_long_ago_a_file_was_complete(
    age: float, least: float, most: float, output: Output
) -> None:
    names = write_parts(output, [make_block(make_protein(0))])
    end = make_end(1, complete=time.time() - age)
    heard: list[events.Event] = []
    dofn = _WriteEsmPtDoFn(output)
    dofn.start_bundle()
    with events.listening(heard.append):
        list(dofn.process(FinishedFile(end, 1, 0, tuple(names))))
        dofn.finish_bundle()
    (finished,) = heard
    assert isinstance(finished, events.FileFinished)
    assert least <= finished.seconds <= most


def test_a_record_file_is_written_when_it_is_full(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_bundle(output, 2, monkeypatch) == [0, 2, 2]
    assert len(record_files(output)) == 2
    assert sorted(read_commits(output.root).files) == SOURCES


def test_files_of_many_rows_are_not_held(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(esm_pt, "ROWS_PER_GROUP", 3)
    assert run_bundle(output, 100, monkeypatch) == [0, 0, 3]
    monkeypatch.setattr(esm_pt, "ROWS_PER_GROUP", 1)
    assert run_bundle(output, 100, monkeypatch) == [3, 3, 3]
    assert len(record_files(output)) == 4


def test_the_files_of_a_group_are_there_before_any_is_on_record(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    publish_all = storage.publish_all

    def noted(root: str, files: Mapping[str, Any]) -> None:
        done.extend(name for name in files if name.startswith(("pt/", "commits/files-")))
        publish_all(root, files)

    monkeypatch.setattr(storage, "publish_all", noted)
    run_bundle(output, 100, monkeypatch)
    *pts, record = done
    assert pts == [pt_name(source) for source in SOURCES]
    assert record.startswith("commits/files-run1-")


def test_files_that_took_their_time_are_put_on_record(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = write_parts(output, [make_block(make_protein(0))])
    monkeypatch.setattr(esm_pt, "SECONDS_PER_RECORD", 0.0)
    dofn = _WriteEsmPtDoFn(output)
    dofn.start_bundle()
    list(dofn.process(FinishedFile(make_end(1), 1, 0, tuple(names))))
    assert list(read_commits(output.root).files) == ["a.fa"]


def test_a_file_that_is_held_is_written_with_the_next_part_at_the_latest(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    (name,) = write_parts(output, [make_block(make_protein(0))])
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    dofn = _WriteEsmPtDoFn(output)
    dofn.start_bundle()
    list(dofn.process(FinishedFile(make_end(1), 1, 0, (name,))))
    settled = Settled("b.fa", "", "part-run1-0-1", 1, 0)
    for wait, on_record in ((0.9, []), (0.2, ["a.fa"])):
        clock[0] += wait
        assert list(dofn.process(settled)) == [settled]
        assert list(read_commits(output.root).files) == on_record
    assert load(output)["proteins"] == ["a.fa-0"]


def test_the_files_of_an_object_store_are_not_held(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    (name,) = write_parts(output, [make_block(make_protein(0))])
    monkeypatch.setattr(storage, "is_local", lambda url: url != output.root)
    uploaded: list[str] = []
    monkeypatch.setattr(storage, "publish_all", lambda root, files: uploaded.extend(files) or files)
    monkeypatch.setattr(storage, "exists", lambda url: False)
    monkeypatch.setattr(esm_pt, "read_part_record", lambda root, part: None)
    dofn = _WriteEsmPtDoFn(output)
    dofn.start_bundle()
    list(dofn.process(FinishedFile(make_end(1), 1, 0, (name,))))
    assert uploaded == [pt_name("a.fa")]


def test_a_bundle_without_a_finished_file_writes_nothing(output: Output) -> None:
    dofn = _WriteEsmPtDoFn(output)
    dofn.start_bundle()
    protein = make_protein()
    assert list(dofn.process(protein)) == [protein]
    dofn.finish_bundle()
    assert files_below(output.root) == []


def test_a_part_that_was_replaced_between_bundles_is_read_anew(output: Output) -> None:
    dofn = _WriteEsmPtDoFn(output)
    for source in ("a.fa", "b.fa"):
        (name,) = write_parts(output, [make_block(make_protein(0, source))])
        dofn.start_bundle()
        list(dofn.process(FinishedFile(make_end(1, source), 1, 0, (name,))))
        dofn.finish_bundle()
    assert load(output, "b.fa")["proteins"] == ["b.fa-0"]
