"""Tests of reading the records of a file back from its parts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers import (
    DIM,
    assert_same_bits,
    commit,
    make_block,
    make_dead_letter,
    make_end,
    make_protein,
    vector_of,
)
from transforms import storage
from transforms.items import FinishedFile, Item
from transforms.output import committed, gathering
from transforms.output.commits import Output, read_part_record
from transforms.output.gathering import Gathered, gather

ROW_BYTES = DIM * 4


def gather_parts(output: Output, *parts: list[Item], rows: int, dead: int = 0) -> Gathered:
    names = [commit(output, *items, sequence=i) for i, items in enumerate(parts) if items]
    finished = FinishedFile(make_end(rows + dead), rows, dead, tuple(names))
    return gather(finished, [read_part_record(output.root, name) for name in names], output.root)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    part_of=st.lists(st.integers(0, 3), min_size=1, max_size=14),
    failing=st.sets(st.integers(0, 13)),
    block_rows=st.integers(0, 15),
)
def test_records_come_in_fasta_order_whatever_the_parts_and_blocks(
    output: Output, part_of: list[int], failing: set[int], block_rows: int
) -> None:
    parts: list[list[Item]] = [[] for _ in range(4)]
    for ordinal, part in enumerate(part_of):
        dead = make_dead_letter(ordinal)
        parts[part].append(dead if ordinal in failing else make_block(make_protein(ordinal)))
        # What lies beside the file in its parts is none of it.
        parts[part] += [make_block(make_protein(ordinal, "Z.fa")), make_dead_letter(None, "b.fa")]
    rows = [ordinal for ordinal in range(len(part_of)) if ordinal not in failing]
    dead_ordinals = [ordinal for ordinal in range(len(part_of)) if ordinal in failing]
    content = gather_parts(output, *parts, rows=len(rows), dead=len(dead_ordinals))
    assert content.ids == [f"a.fa-{ordinal}" for ordinal in rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gathering, "BLOCK_BYTES", block_rows * ROW_BYTES)
        found = [vector for block in content.read_vectors() for vector in block]
    assert_same_bits(
        np.array(found, np.float32).reshape(-1, DIM),
        [vector_of(make_protein(ordinal)) for ordinal in rows],
    )
    assert [letter.ordinal for letter in content.read_dead_letters()] == dead_ordinals
    assert len(content.dead_letters) == len(dead_ordinals)


def test_the_longest_first_and_equal_ones_in_fasta_order(output: Output) -> None:
    lengths = [5, 7, 5, 9, 7, 5]
    proteins = [make_protein(i, sequence="M" * 20, residues_used=n) for i, n in enumerate(lengths)]
    content = gather_parts(output, [make_block(*proteins[3:])], [make_block(*proteins[:3])], rows=6)
    content = content.longest_first()
    expected = [3, 1, 4, 0, 2, 5]
    assert content.ids == [f"a.fa-{i}" for i in expected]
    assert content.residues_used.tolist() == [9, 7, 7, 5, 5, 5]
    found = np.concatenate(list(content.read_vectors()))
    assert_same_bits(found, [vector_of(proteins[i]) for i in expected])


def test_a_file_without_a_row_has_no_block(output: Output) -> None:
    content = gather_parts(output, [make_dead_letter(0)], rows=0, dead=1)
    assert list(content.read_vectors()) == []


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file was read."""
    committed._VECTORS.clear()
    counts: Counter[str] = Counter()
    read_bytes = storage.read_bytes

    def counted(url: str) -> bytes:
        counts[url] += 1
        return read_bytes(url)

    monkeypatch.setattr(storage, "read_bytes", counted)
    return counts


def test_each_part_is_read_once_where_one_lies_behind_the_other(
    output: Output, reads: Counter[str]
) -> None:
    starts = range(70, -10, -10)  # the first part holds the last records
    parts = [[make_block(*(make_protein(start + i) for i in range(10)))] for start in starts]
    content = gather_parts(output, *parts, rows=80)
    reads.clear()
    committed._VECTORS.clear()
    assert [len(block) for block in content.read_vectors()] == [10] * 8
    assert (len(reads), reads.total()) == (8, 8)


def test_each_part_is_read_once_where_many_lanes_have_embedded_a_file(
    output: Output, reads: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `BatchByTokens` spreads them: two records here, two there."""
    lanes, rows = 16, 640
    lane_of = [i // 2 * 7 % lanes for i in range(rows)]
    in_lane = [[i for i in range(rows) if lane_of[i] == lane] for lane in range(lanes)]
    parts = [
        [make_block(*(make_protein(i) for i in records[start : start + 20]))]
        for start in range(0, rows // lanes, 20)
        for records in in_lane
    ]
    content = gather_parts(output, *parts, rows=rows)
    reads.clear()
    committed._VECTORS.clear()
    monkeypatch.setattr(gathering, "BLOCK_BYTES", 100 * ROW_BYTES)
    blocks = list(content.read_vectors())
    assert list(map(len, blocks)) == [100] * 6 + [40]
    assert_same_bits(np.concatenate(blocks), [vector_of(make_protein(i)) for i in range(rows)])
    assert set(reads.values()) == {1}
    assert len(reads) == len(parts)
    assert not list(Path(output.root, storage.STAGING).iterdir())


def test_a_few_records_that_were_tried_again_cost_no_copy_of_the_file(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_copy(root: str) -> None:
        raise AssertionError

    parts = [range(10), [*range(10, 13), *range(14, 20)], [13]]
    blocks = [[make_block(*(make_protein(i) for i in part))] for part in parts]
    monkeypatch.setattr(storage, "open_scratch", no_copy)
    found = gather_parts(output, *blocks, rows=20).read_vectors()
    assert [len(block) for block in found] == [10, 3, 1, 6]
