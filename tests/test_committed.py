"""Tests of reading committed parts back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.helpers import (
    assert_same_bits,
    commit,
    make_block,
    make_dead_letter,
    make_protein,
    sha256,
    vector_of,
)
from transforms import storage
from transforms.items import Item
from transforms.output import committed
from transforms.output.commits import Output, PartRecord, read_part_record
from transforms.output.committed import read_dead_letters, read_keys, read_rows, short_digest

A = [make_protein(i, sequence="MKT" + "A" * i, residues_used=2 + i) for i in (4, 0, 2)]
B = [make_protein(i, "a.fa.b") for i in (1, 0)]
WHOLE = make_dead_letter(None, "broken.fa")
DEAD = [make_dead_letter(3, sequence="M1"), make_dead_letter(1, sequence="M22")]
DEAD_B = make_dead_letter(7, "b.fa", sequence=None, sequence_sha256="")


def written(output: Output, *items: Item) -> PartRecord:
    return read_part_record(output.root, commit(output, *items))


@pytest.fixture
def part(output: Output) -> PartRecord:
    items = make_block(A[0], B[0]), DEAD[0], make_block(B[1], *A[1:]), WHOLE, DEAD_B, DEAD[1]
    return written(output, *items)


def test_rows_of_a_file(output: Output, part: PartRecord) -> None:
    rows = read_rows(output.root, part, "a.fa")
    assert rows.ordinals == [0, 2, 4]
    assert rows.ids == ["a.fa-0", "a.fa-2", "a.fa-4"]
    assert rows.residues_used == [2, 4, 6]
    assert_same_bits(rows.vectors, [vector_of(p) for p in sorted(A, key=lambda p: p.ordinal)])
    other = read_rows(output.root, part, "a.fa.b")
    assert other.ordinals == [0, 1]
    assert_same_bits(other.vectors, [vector_of(B[1]), vector_of(B[0])])


def keys_of(output: Output, part: PartRecord, source: str) -> tuple[dict, dict]:
    keys = read_keys(output.root, part, source)
    assert (keys.ordinals.dtype, keys.digests.dtype) == (np.int64, np.uint64)
    assert np.all(np.diff(keys.ordinals) > 0)
    rows = dict(zip(keys.ordinals.tolist(), keys.digests.tolist(), strict=True))
    return rows, dict(keys.dead_letters)


def test_keys_of_a_file(output: Output, part: PartRecord) -> None:
    assert keys_of(output, part, "a.fa") == (
        {p.ordinal: int(p.sequence_sha256[:16], 16) for p in A},
        {1: sha256("M22"), 3: sha256("M1")},
    )
    assert keys_of(output, part, "broken.fa") == ({}, {None: ""})
    assert keys_of(output, part, "b.fa") == ({}, {7: ""})


def test_the_digest_of_a_key_is_the_beginning_of_that_of_its_sequence() -> None:
    digests = ["0" * 64, "f" * 64, sha256("M"), "00ab" + "1" * 60]
    assert committed.short_digests(digests).tolist() == list(map(short_digest, digests))
    assert short_digest("") == 0
    assert committed.short_digests([]).tolist() == []


def test_keys_are_read_without_the_vectors(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(0).random((300, 2000), np.float32)
    block = make_block(*map(make_protein, range(300)), vectors=vectors)
    part = written(output, block)
    read, open_chunks = [], storage.open_chunks

    def counting(*args: Any, **kwargs: Any) -> Iterator[bytes]:
        for chunk in open_chunks(*args, **kwargs):
            read.append(len(chunk))
            yield chunk

    monkeypatch.setattr(storage, "open_chunks", counting)
    assert len(keys_of(output, part, "a.fa")[0]) == 300
    assert 0 < sum(read) < vectors.nbytes / 10


def test_a_part_that_cannot_be_read_now_is_not_called_damaged(
    output: Output, part: PartRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> Iterator[bytes]:
        raise TimeoutError("the server is busy")

    monkeypatch.setattr(storage, "open_chunks", fail)
    committed._keys.cache_clear()
    with pytest.raises(TimeoutError, match="busy"):
        committed._keys(output.root, part.embeddings or "")


def test_dead_letters_of_a_file(output: Output, part: PartRecord) -> None:
    assert read_dead_letters(output.root, part, "a.fa") == (DEAD[1], DEAD[0])
    assert read_dead_letters(output.root, part, "broken.fa") == (WHOLE,)
    assert read_dead_letters(output.root, part, "b.fa") == (DEAD_B,)


def test_a_file_that_the_part_does_not_hold(output: Output, part: PartRecord) -> None:
    assert read_rows(output.root, part, "a") is None
    assert keys_of(output, part, "a") == ({}, {})
    assert read_dead_letters(output.root, part, "a") == ()


def test_a_part_without_rows_or_without_dead_letters(output: Output) -> None:
    dead = written(output, DEAD[0])
    assert read_rows(output.root, dead, "a.fa") is None
    assert keys_of(output, dead, "a.fa") == ({}, {3: sha256("M1")})
    rows = written(output, make_block(A[1]))
    assert read_dead_letters(output.root, rows, "a.fa") == ()
    assert list(keys_of(output, rows, "a.fa")[0]) == [0]


def test_a_part_that_was_replaced_is_read_anew(output: Output) -> None:
    first = written(output, make_block(A[0]))
    assert read_rows(output.root, first, "a.fa").ordinals == [4]
    second = written(output, make_block(A[1]))
    assert first.part == second.part
    assert read_rows(output.root, second, "a.fa").ordinals == [0]
    assert list(keys_of(output, second, "a.fa")[0]) == [0]


def test_what_was_just_written_is_not_read_back(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    proteins = [make_protein(i, "new.fa") for i in range(3)]
    part = written(output, make_block(*proteins))
    monkeypatch.setattr(storage, "read_bytes", None)
    remembered = read_rows(output.root, part, "new.fa")
    monkeypatch.undo()
    committed._ROW_KEYS.clear()
    committed._VECTORS.clear()
    read = read_rows(output.root, part, "new.fa")
    assert (remembered.ordinals, remembered.ids) == (read.ordinals, read.ids) == (
        [0, 1, 2], [p.id for p in proteins]
    )  # fmt: skip
    assert remembered.residues_used == read.residues_used
    assert_same_bits(remembered.vectors, read.vectors)
