"""Tests of reading many small files."""

from __future__ import annotations

import threading

import pytest

from transforms.output.fetching import fetch_all


def test_what_lies_on_a_network_is_read_side_by_side() -> None:
    meet = threading.Barrier(3, timeout=30)

    def read(name: str) -> str:
        meet.wait()  # for ever, one after the other
        return name.upper()

    assert list(fetch_all("gs://b/out", ["a", "b", "c"], read)) == [
        ("a", "A"), ("b", "B"), ("c", "C"),
    ]  # fmt: skip


def test_local_files_are_read_one_after_the_other_when_they_are_wanted() -> None:
    seen: list[str] = []
    fetched = fetch_all("/out", ["a", "b"], lambda name: seen.append(name))
    assert next(fetched) == ("a", None)
    assert seen == ["a"]


def test_what_cannot_be_read_is_told() -> None:
    def read(name: str) -> str:
        raise TimeoutError(name)

    for root in ("/out", "gs://b/out"):
        with pytest.raises(TimeoutError, match="a"):
            list(fetch_all(root, ["a", "b"], read))
