from __future__ import annotations

import pytest

from transforms.inputs.arriving import Sight, is_temporary
from transforms.inputs.finding import FastaFile


def file(source: str, size: int = 10, mtime: float = 1.0) -> FastaFile:
    return FastaFile(f"/in/{source}", source, size, mtime)


@pytest.mark.parametrize(
    "source",
    [
        ".x.fa", "x.fa.tmp", "x.fa.TEMP", "x.part", "x.fa.partial", "x.fa.filepart", "x.fa~",
        "x.fa.crdownload", ".rsync-partial/x.fa", "a/b.tmp/x.fa", "a/.git/b/x.fa",
    ],
)  # fmt: skip
def test_names_of_unfinished_files(source: str) -> None:
    assert is_temporary(source)


@pytest.mark.parametrize("source", ["x.fa", "x.fa.gz", "part.fa", "x.tmp.fa", "a.b/~x.fa", "tmp"])
def test_other_names(source: str) -> None:
    assert not is_temporary(source)


@pytest.mark.parametrize("change", [{"size": 11}, {"mtime": 2.0}])
def test_what_two_looks_find_alike_is_complete(change: dict[str, float]) -> None:
    sight = Sight()
    seen = []
    grown = file("a.fa", **change)
    for each in (file("a.fa"), grown, grown):
        sight.look([each])
        seen.append(list(sight.complete.values()))
    assert seen == [[], [], [grown]]


def test_files_stay_in_order_of_arrival_and_temporary_ones_are_not_seen() -> None:
    sight = Sight()
    for names in (["b.fa", ".x.fa"], ["a.fa", "b.fa"], ["a.fa", "b.fa"], ["b.fa", "c.fa", "a.fa"]):
        sight.look([file(name) for name in names])
    assert list(sight.complete) == ["b.fa", "a.fa"]
    sight.look([])
    assert (dict(sight.seen), dict(sight.complete)) == ({}, {})
