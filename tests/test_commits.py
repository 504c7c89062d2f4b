"""Tests of the commit records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import files_below
from transforms.errors import ConfigurationError
from transforms.output import commits
from transforms.output.commits import (
    Commits,
    FileRecord,
    PartRecord,
    PartSource,
    read_all_parts,
    read_commits,
    read_part_record,
    write_file_records,
    write_part_record,
)
from transforms.output.configuration import read_configuration, write_configuration
from transforms.output.json_records import write_json

PART = PartRecord(
    part="part-run1-0-0",
    run="run1",
    embeddings="part-run1-0-0-abc.parquet",
    dead_letters="part-run1-0-0-def.jsonl",
    time="2026-01-31T12:00:00Z",
    sources={
        "a.fa": PartSource("sha-a", 3, 1),
        'sub/ü "b" \\.fa': PartSource("sha-b", 2, 0),
        "broken.fa": PartSource("", 0, 0, failed=True),
    },
)
FILE = FileRecord(
    source="sub/ü.fa",
    url="/data/sub/ü.fa",
    size=10,
    mtime=1234.567891,
    sha256="sha-a",
    records=4,
    residues=99,
    rows=3,
    dead_letters=1,
    parts=("part-run1-0-0", "part-run1-0-1"),
    pt="pt/sub/ü_ESM.pt",
    pt_sha256="sha-pt",
)
PLAIN_PART = {"part": "part-run1-0-0", "run": "run1", "embeddings": None, "dead_letters": None}
PLAIN_PART |= {"time": "2026-01-31T12:00:00Z", "sources": {}}
CONFIGURATION = {"input_root": "/data/ü", "dtype": "float32", "dim": 4, "revision": None}


def test_a_part_record_comes_back(tmp_path: Path) -> None:
    root = str(tmp_path)
    write_part_record(root, PART)
    assert read_part_record(root, PART.part) == PART
    assert read_commits(root) == Commits({PART.part: PART}, {})


def test_a_part_record_replaces_its_own(tmp_path: Path) -> None:
    again = replace(PART, embeddings=None, sources={"a.fa": PartSource("sha-a", 0, 4)})
    write_part_record(str(tmp_path), PART)
    write_part_record(str(tmp_path), again)
    assert read_commits(str(tmp_path)).parts == {PART.part: again}


def test_file_records_come_back(tmp_path: Path) -> None:
    other = replace(FILE, source="b.fa", parts=(), pt=None, pt_sha256=None)
    third = replace(FILE, source="c.fa")
    write_file_records(str(tmp_path), "run1-x", [FILE, other])
    write_file_records(str(tmp_path), "run1-y", [third])
    assert files_below(tmp_path) == ["commits/files-run1-x.json", "commits/files-run1-y.json"]
    assert read_commits(str(tmp_path)) == Commits(
        {}, {FILE.source: FILE, other.source: other, third.source: third}
    )


def test_the_configuration_comes_back(tmp_path: Path) -> None:
    assert read_configuration(str(tmp_path)) is None
    write_configuration(str(tmp_path), CONFIGURATION)
    assert read_configuration(str(tmp_path)) == CONFIGURATION
    # It is no record of a part or a file.
    assert read_commits(str(tmp_path)) == Commits({}, {})


def test_a_folder_whose_name_is_not_utf8_comes_back(tmp_path: Path) -> None:
    folder = b"/data/\xff".decode("utf-8", "surrogateescape")
    write_configuration(str(tmp_path), {"input_root": folder})
    assert read_configuration(str(tmp_path)) == {"input_root": folder}
    write_file_records(str(tmp_path), "x", [replace(FILE, url=f"{folder}/a.fa")])
    assert read_commits(str(tmp_path)).files[FILE.source].url == f"{folder}/a.fa"


def test_a_new_output_has_committed_nothing(tmp_path: Path) -> None:
    assert read_commits(str(tmp_path / "new")) == Commits({}, {})


def make_part(name: str, run: str = "run1", **sources: PartSource) -> PartRecord:
    return replace(PART, part=name, run=run, sources=sources)


def test_parts_of_a_file_without_those_of_one_run() -> None:
    held = PartSource("sha", 1, 0)
    parts = {
        "p1": make_part("p1", "run1", a=held),
        "p2": make_part("p2", "run2", a=held, b=held),
        "p3": make_part("p3", "run2", b=held),
    }
    commits = Commits(parts, {})
    assert commits.by_source()["a"] == [parts["p1"], parts["p2"]]
    assert commits.by_source(but_not_of_run="run2")["a"] == [parts["p1"]]
    assert commits.by_source(but_not_of_run="run2").get("b", []) == []
    assert commits.by_source().get("c", []) == []


def test_failed_sources_are_those_that_were_not_finished() -> None:
    failed, held = PartSource("", 0, 0, failed=True), PartSource("sha", 0, 2)
    commits = Commits(
        {"p1": make_part("p1", a=failed, b=failed, c=held), "p2": make_part("p2", b=held)},
        {"b": replace(FILE, source="b")},
    )
    assert commits.failed_sources() == {"a"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("part-run1-0-0", {**PLAIN_PART, "later_field": 1}),
        ("part-run1-0-0", {k: v for k, v in PLAIN_PART.items() if k != "run"}),
        ("part-run1-0-0", {**PLAIN_PART, "sources": {"a.fa": {"later_field": 1}}}),
        ("part-run1-0-0", []),
        ("files-run1-x", {}),
        ("files-run1-x", {"files": [{"source": "a.fa", "parts": []}]}),
        ("files-run1-x", {"files": 1}),
    ],
)
def test_a_record_with_other_fields_is_named(tmp_path: Path, name: str, content: Any) -> None:
    write_json(str(tmp_path), f"commits/{name}.json", content)
    with pytest.raises(ConfigurationError) as caught:
        read_commits(str(tmp_path))
    assert str(caught.value) == (
        f"{tmp_path}/commits/{name}.json is damaged, or was written by a newer version of this "
        "program. Use that version, put it back from a copy, or give another --output."
    )


def list_in_turn(monkeypatch: pytest.MonkeyPatch, listings: Iterable[Iterable[str]]) -> None:
    """Lets the listings of ``commits/`` be these, one after the other."""
    turns = iter(listings)
    monkeypatch.setattr(
        commits.storage, "list_names", lambda folder: [f"{name}.json" for name in next(turns)]
    )


def test_parts_that_are_added_all_the_time_do_not_keep_a_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"part-run1-0-{number}" for number in range(4)]
    for name in names:
        write_part_record(str(tmp_path), make_part(name))
    list_in_turn(monkeypatch, (names[:number] for number in (2, 3)))
    assert list(read_all_parts(str(tmp_path))) == names[:3]


def test_a_replacement_that_straddles_a_listing_is_seen_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new, other, gone = (f"part-run1-0-{number}" for number in range(4))
    for part in (make_part(old), replace(make_part(new), replaces=(old,)), make_part(other)):
        write_part_record(str(tmp_path), part)
    for listings in (
        ([old, other], [other], [new, other]),  # the second lacks both
        ([other], [other, gone], [new, other]),  # gone before it could be read
    ):
        list_in_turn(monkeypatch, listings)
        assert list(read_all_parts(str(tmp_path))) == [new, other]
