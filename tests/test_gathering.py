"""Tests of reading the records of a file back from its parts."""

from __future__ import annotations

import weakref
from collections import Counter
from types import SimpleNamespace
from typing import Any

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
    block_rows=st.integers(1, 15),
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
    blocks = list(content.read_vectors(block_rows * ROW_BYTES))
    assert all(len(block) == block_rows for block in blocks[:-1])
    found = [vector for block in blocks for vector in block]
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
    for block_bytes in (None, 2 * ROW_BYTES):
        found = np.concatenate(list(content.read_vectors(block_bytes)))
        assert_same_bits(found, [vector_of(proteins[i]) for i in expected])


def test_one_block_of_all_vectors(output: Output) -> None:
    parts = [[make_block(make_protein(i))] for i in range(4)]
    (block,) = gather_parts(output, *parts, rows=4).read_vectors(None)
    assert block.shape == (4, DIM)


def test_a_block_holds_one_row_where_a_row_is_larger_than_a_block(output: Output) -> None:
    content = gather_parts(output, [make_block(*(make_protein(i) for i in range(3)))], rows=3)
    assert [len(block) for block in content.read_vectors(1)] == [1, 1, 1]


def test_a_file_without_a_row_has_no_block(output: Output) -> None:
    content = gather_parts(output, [make_dead_letter(0)], rows=0, dead=1)
    assert list(content.read_vectors()) == []


def test_in_fasta_order_no_part_is_read_again_for_each_block(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = range(70, -10, -10)  # the first part holds the last records
    parts = [[make_block(*(make_protein(start + i) for i in range(10)))] for start in starts]
    content = gather_parts(output, *parts, rows=80)
    committed._VECTORS.clear()
    reads: Counter[str] = Counter()
    read_bytes = storage.read_bytes

    def counted(url: str) -> bytes:
        reads[url] += 1
        return read_bytes(url)

    monkeypatch.setattr(storage, "read_bytes", counted)
    # Blocks of several parts each, which begin and end within parts.
    assert len(list(content.read_vectors(25 * ROW_BYTES))) == 4
    assert (len(reads), reads.total()) == (8, 8)


def test_a_block_is_let_go_before_the_next_one_is_read(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = gather_parts(output, [make_block(*(make_protein(i) for i in range(6)))], rows=6)
    alive: list[weakref.ref[np.ndarray]] = []
    empty = np.empty

    def watched(*arguments: Any) -> np.ndarray:
        assert not [block for block in alive if block() is not None]
        block = empty(*arguments)
        alive.append(weakref.ref(block))
        return block

    blocks = content.read_vectors(2 * ROW_BYTES)
    monkeypatch.setattr(gathering, "np", SimpleNamespace(**vars(np) | {"empty": watched}))
    assert list(map(len, blocks)) == [2, 2, 2]
    assert len(alive) == 3
