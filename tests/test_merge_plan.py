"""Tests of which parts are merged with which."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import merge_plan
from pipeline.merge_plan import AtWork, find_at_work, find_groups
from transforms.errors import ConfigurationError
from transforms.output.commits import PartRecord, PartSource
from transforms.output.holders import read_holder, write_holder
from transforms.output.locks import hold
from transforms.output.sweeping import MERGED

NOBODY = AtWork()


def part(number: int, rows: int = 10, run: str = "run1", **fields: object) -> PartRecord:
    record = PartRecord(
        part=f"part-{run}-0-{number}",
        run=run,
        embeddings=f"{run}-{number}.parquet",
        dead_letters=None,
        time=f"2026-01-31T12:00:{number:02d}Z",
        sources={f"{number}.fa": PartSource("sha", rows, 0)},
    )
    return replace(record, **fields)


def numbers(groups: list[list[PartRecord]]) -> list[list[int]]:
    return [[int(each.part.rpartition("-")[2]) for each in group] for group in groups]


def test_in_order_of_time_as_many_as_fit() -> None:
    parts = [part(n) for n in (3, 1, 4, 2, 0)]
    assert numbers(find_groups(parts, {}, NOBODY, 20)) == [[0, 1], [2, 3]]
    assert numbers(find_groups(parts, {}, NOBODY, 39)) == [[0, 1, 2], [3, 4]]
    assert numbers(find_groups(parts, {}, NOBODY, 50)) == [[0, 1, 2, 3, 4]]
    assert find_groups(parts, {}, NOBODY, 19) == []
    assert find_groups([], {}, NOBODY, 19) == []


def test_dead_letters_count_too() -> None:
    letters = {"a.fa": PartSource("sha", 3, 6), "b.fa": PartSource("", 0, 0, failed=True)}
    parts = [part(n, sources=letters) for n in range(3)]
    assert numbers(find_groups(parts, {}, NOBODY, 20)) == [[0, 1]]
    assert find_groups(parts, {}, NOBODY, 19) == []


def test_no_more_bytes_than_memory_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge_plan, "MOST_BYTES", 100)
    sizes = {f"run1-{n}.parquet": 50 for n in range(5)}
    assert numbers(find_groups([part(n) for n in range(5)], sizes, NOBODY, 1000)) == [
        [0, 1],
        [2, 3],
    ]


def test_two_versions_of_a_file_do_not_meet() -> None:
    parts = [part(n, sources={"a.fa": PartSource(f"sha{n // 2}", 1, 0)}) for n in range(4)]
    assert numbers(find_groups(parts, {}, NOBODY, 1000)) == [[0, 1], [2, 3]]


AT_WORK = AtWork("live", frozenset(["live", "live-7"]))


@pytest.mark.parametrize(
    ("of", "held", "is_free"),
    [
        ({}, PartSource("sha", 1, 0), True),
        ({}, PartSource("sha", 1, 0, failed=True), True),
        ({"source": "open.fa"}, PartSource("sha", 1, 0), False),
        ({"source": "open.fa"}, PartSource("sha", 0, 1), False),
        # A file that could not be read: the run asks for no more than that.
        ({"source": "open.fa"}, PartSource("", 0, 0, failed=True), True),
        ({"run": "live"}, PartSource("sha", 1, 0), False),
        ({"run": "live-7"}, PartSource("sha", 1, 0), False),
        ({"run": "live-6"}, PartSource("sha", 1, 0), True),
        ({"run": "lively"}, PartSource("sha", 1, 0), True),
        # What a compaction has written no bundle writes again.
        ({"run": "live", "part": f"{MERGED}x-0"}, PartSource("sha", 1, 0), True),
    ],
)
def test_what_a_run_at_work_does_not_need(of: dict, held: PartSource, is_free: bool) -> None:
    source = of.pop("source", "done.fa")
    tried = part(0, sources={"done.fa": PartSource("sha", 1, 0), source: held}, **of)
    assert AT_WORK.spares(tried, {"done.fa"}) is is_free
    assert NOBODY.spares(tried, set())


def test_rows_of_the_run_at_work_stay_its_own() -> None:
    parts = [part(n, run=run) for n, run in enumerate(["old", "live-1", "older", "live-2"])]
    assert numbers(find_groups(parts, {}, AT_WORK, 1000)) == [[0, 2], [1, 3]]
    assert numbers(find_groups(parts, {}, NOBODY, 1000)) == [[0, 1, 2, 3]]


def test_who_is_at_work(tmp_path: Path) -> None:
    root = str(tmp_path)
    rounds = [part(n, run=f"live-{n}") for n in (9, 10)]
    assert find_at_work(root, rounds) == NOBODY
    with hold(root, "live"):
        assert find_at_work(root, rounds) == AtWork("live", frozenset(["live", "live-10"]))
        assert find_at_work(root, [part(1)]) == AtWork("live", frozenset(["live"]))
    assert find_at_work(root, rounds) == NOBODY


def test_one_that_may_be_alive_on_another_machine_is_taken_for_alive(tmp_path: Path) -> None:
    root = str(tmp_path)
    with hold(root, "live"):
        pass
    holder = read_holder(root, "all")
    elsewhere = replace(holder, released=False, host="x", machine="y", heartbeat="2020-01-01")
    write_holder(root, elsewhere)
    assert find_at_work(root, []).run == "live"
    (tmp_path / ".locks/all.json").write_text("{")
    with pytest.raises(ConfigurationError, match="cannot be known"):
        find_at_work(root, [])
