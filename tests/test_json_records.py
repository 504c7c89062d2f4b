"""Tests of records that another version has written, or nobody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from transforms.errors import ConfigurationError
from transforms.output.commits import Commits
from transforms.output.division import (
    Division,
    ShardEnd,
    begin_division,
    note_end,
    read_division,
    read_ends,
)
from transforms.output.json_records import read_json, write_json
from transforms.output.reopened import note_reopened, read_reopened
from transforms.shares import Share, read_shares, write_shares

SHARE = Share("a.fa", "/data/a.fa", 1, 1.5, "sha", 1, 6, 1, 0)
ID = Division("d1", 1, "2026-01-31T12:00:00Z")


def ends(root: str) -> object:
    return read_ends(root, ID)


def shares(root: str) -> object:
    return list(read_shares(root, [ID.shard(0)]))


def reopened(root: str) -> object:
    return read_reopened(root, Commits({}, {}))


@pytest.mark.parametrize(
    ("read", "name", "content"),
    [
        (read_division, "shards.json", {"id": "d1", "count": 2, "begun": "", "later": 1}),
        (read_division, "shards.json", [1]),
        (ends, "shard-d1-0.json", {"run": "run1", "failed": [], "later": 1}),
        (ends, "shard-d1-0.json", {"run": "run1"}),
        (shares, "shares-d1-0-x.json", {"files": [{"source": "a.fa"}]}),
        (reopened, "reopened.json", {}),
        (reopened, "reopened.json", {"sources": 1}),
    ],
)
def test_what_has_other_fields_is_named_with_the_fix(
    tmp_path: Path, read: Callable[[str], object], name: str, content: Any
) -> None:
    write_json(str(tmp_path), f"commits/{name}", content)
    with pytest.raises(ConfigurationError) as caught:
        read(str(tmp_path))
    assert str(caught.value).startswith(f"{tmp_path}/commits/{name} is damaged, or was written by")
    assert "Use that version, put it back from a copy, or give another" in str(caught.value)


def test_what_is_no_json_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for data in (b"{", b"\xff", b""):
        path.write_bytes(data)
        with pytest.raises(ConfigurationError, match=r"a\.json is damaged\. Put it back"):
            read_json(str(path), dict)


def test_records_come_back(tmp_path: Path) -> None:
    root = str(tmp_path)
    division = begin_division(root, 1)
    assert read_division(root) == division
    end = ShardEnd("run1", failed=("b.fa",), metrics={"rows": 1})
    note_end(root, division.shard(0), end)
    assert read_ends(root, division) == {0: end}
    write_shares(root, division.shard(0), [SHARE])
    assert list(read_shares(root, [division.shard(0)])) == [(0, SHARE)]
    note_reopened(root, ["b.fa", "a.fa"])
    assert reopened(root) == {"a.fa", "b.fa"}
