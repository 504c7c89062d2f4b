"""Tests that what a run holds does not grow with its input."""

from __future__ import annotations

import tracemalloc

import pytest

from pipeline.failures import count_failures, iterate_dead_letters
from tests.helpers import commit, make_block, make_dead_letter, make_protein
from transforms.batching import token_cost
from transforms.filling import PART_RECORDS, weight
from transforms.output import committed
from transforms.output.commits import Output, read_commits
from transforms.skipping import CommittedRecords

MEGABYTE = "M" * 1_000_000


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (make_block(make_protein(0), make_protein(1)), 2),
        (make_dead_letter(0), 1),
        (make_dead_letter(None), 1),
        (make_dead_letter(0, sequence=None), 1),
        (make_dead_letter(0, sequence="M" * 8191), 1),
        (make_dead_letter(0, sequence="M" * 8192), 2),
        (make_block(make_protein(0, sequence="M" * 20_000), make_protein(1)), 4),
    ],
)
def test_long_records_count_as_several(item: object, expected: int) -> None:
    assert weight(item) == expected


def test_a_part_of_the_longest_records_is_full_before_it_fills_the_memory() -> None:
    fit = PART_RECORDS // weight(make_dead_letter(0, sequence=MEGABYTE))
    assert fit * len(MEGABYTE) < 40_000_000


@pytest.mark.parametrize(
    ("sequence", "cost"), [(None, 0), ("M" * 1000, 0), ("M" * 1024, 1), (MEGABYTE, 976)]
)
def test_a_dead_letter_costs_a_batch_what_it_takes(sequence: str | None, cost: int) -> None:
    assert token_cost(make_dead_letter(0, sequence=sequence)) == cost


def test_the_index_of_a_large_file_is_small(output: Output) -> None:
    rows, parts = 2000, 8
    for part in range(parts):
        block = make_block(*(make_protein(part * rows + i) for i in range(rows)))
        commit(output, block, sequence=part)
    records = CommittedRecords(output.root, read_commits(output.root), "run2")
    tracemalloc.start()
    try:
        found = records.find(make_protein(rows * parts - 1))
        committed._keys.cache_clear()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.part == f"part-{output.run}-0-{parts - 1}"
    assert held < 80 * rows * parts


def test_the_report_holds_no_more_than_the_first_dead_letter_of_each_kind(output: Output) -> None:
    per_part, parts = 50, 12  # more parts than are kept
    for part in range(parts):
        letters = (
            make_dead_letter(part * per_part + i, sequence="M" * 10_000) for i in range(per_part)
        )
        commit(output, *letters, sequence=part)
    tracemalloc.start()
    try:
        letters = iterate_dead_letters(output.root, read_commits(output.root))
        (failures,) = count_failures(letters)
        committed._dead_letters.cache_clear()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (failures.count, failures.first.ordinal) == (per_part * parts, 0)
    assert failures.first.sequence is None
    assert held < 100_000
