"""Tests of the items and their coder."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from apache_beam.coders import Coder, FastPrimitivesCoder, registry
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.helpers import make_dead_letter, make_protein
from transforms import items
from transforms.awaiting import Deferred
from transforms.items import (
    Batch,
    DeadLetter,
    EmbeddingBlock,
    EndOfFile,
    FinishedFile,
    Item,
    ItemCoder,
    Protein,
    Settled,
)

KINDS = {
    value
    for value in vars(items).values()
    if isinstance(value, type) and issubclass(value, Item) and value is not Item
}

text = st.text(max_size=20)
count = st.integers(0, 2**40)
proteins = st.builds(
    Protein, text, count, text, text, text, text, sequence_sha256=text, residues_used=count,
    changes=text,
)  # fmt: skip
dead_letters = st.builds(
    DeadLetter, text, st.none() | count, text, text, st.none() | text, count, text, text, text,
    text, text, count, text,
)  # fmt: skip
settled = st.builds(Settled, text, text, text, count, count)
ends = st.builds(EndOfFile, text, text, text, count, st.floats(allow_nan=False), count, count)
finished = st.builds(FinishedFile, ends, count, count, st.lists(text, max_size=3).map(tuple))


@st.composite
def blocks(draw: st.DrawFn) -> EmbeddingBlock:
    held = tuple(draw(st.lists(proteins, max_size=3)))
    bits = draw(hnp.arrays(np.uint32, (len(held), draw(st.integers(0, 5)))))
    return EmbeddingBlock(held, bits.view(np.float32))


simple = proteins | dead_letters | settled | ends | finished | blocks()
batches = st.lists(simple, max_size=4).map(lambda held: Batch(tuple(held)))


class NoFallback(Coder):
    """Stands where FastPrimitivesCoder would pickle."""

    def encode(self, value: Any) -> bytes:
        raise AssertionError(f"{value!r} would be pickled")


def coder_that_cannot_pickle() -> ItemCoder:
    coder = ItemCoder()
    coder._plain = FastPrimitivesCoder(NoFallback())
    return coder


def assert_same(actual: Item, expected: Item) -> None:
    assert type(actual) is type(expected)
    if isinstance(expected, EmbeddingBlock):
        assert actual.proteins == expected.proteins
        assert actual.vectors.dtype == np.float32
        assert actual.vectors.shape == expected.vectors.shape
        assert actual.vectors.tobytes() == expected.vectors.tobytes()
    elif isinstance(expected, Batch):
        assert len(actual.items) == len(expected.items)
        for pair in zip(actual.items, expected.items, strict=True):
            assert_same(*pair)
    else:
        assert actual == expected


@settings(deadline=None)
@given(simple | batches)
def test_an_item_comes_back_as_it_was_and_nothing_is_pickled(item: Item) -> None:
    assert_same(ItemCoder().decode(coder_that_cannot_pickle().encode(item)), item)


def test_what_stands_for_pickle_is_found() -> None:
    odd = replace(make_protein(), description=object())
    with pytest.raises(AssertionError, match="would be pickled"):
        coder_that_cannot_pickle().encode(odd)


def test_when_a_file_was_complete_comes_back_too() -> None:
    end = EndOfFile("a.fa", "f", "u", 1, 1.0, 2, 3, complete=12.5)
    for item in (end, FinishedFile(end, 2, 0, ())):
        back = ItemCoder().decode(ItemCoder().encode(item))
        assert getattr(back, "end", back).complete == 12.5


def test_a_block_without_proteins_keeps_its_width() -> None:
    block = EmbeddingBlock((), np.zeros((0, 7), np.float32))
    decoded = ItemCoder().decode(ItemCoder().encode(block))
    assert decoded.vectors.shape == (0, 7)


def test_a_matrix_that_is_not_contiguous_keeps_its_rows() -> None:
    matrix = np.arange(12, dtype=np.float32).reshape(4, 3).T[:, ::2]
    block = EmbeddingBlock(tuple(make_protein(i) for i in range(3)), matrix)
    decoded = ItemCoder().decode(ItemCoder().encode(block))
    assert decoded.vectors.tolist() == matrix.tolist()


def records(count: int) -> tuple[Protein, ...]:
    return tuple(make_protein(number, sequence="M" * (40 + number)) for number in range(count))


@pytest.mark.parametrize(
    "item",
    [
        *records(1),
        Batch(records(300)),
        EmbeddingBlock(records(300), np.ones((300, 1280), np.float32)),
        make_dead_letter(sequence="M" * 5000),
    ],
    ids=lambda item: type(item).__name__,
)
def test_beam_is_told_a_size_for_which_nothing_is_written(
    item: Item, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = len(ItemCoder().encode(item))
    # A block of 5,000 short reads takes 26 MB to write, and Beam asks after each step.
    monkeypatch.setattr(ItemCoder, "encode", None)
    monkeypatch.setattr(ItemCoder, "to_plain", None)
    size = registry.get_coder(type(item)).get_impl().estimate_size(item)
    assert written * 0.75 <= size <= written * 1.25


def test_beam_need_not_wait_for_a_size() -> None:
    def wait() -> list[Item]:
        raise AssertionError("the device is at work")

    assert ItemCoder().estimate_size(Deferred(wait)) < 100


@settings(deadline=None)
@given(simple | batches)
def test_anything_has_a_size(item: Item) -> None:
    assert ItemCoder().estimate_size(item) <= 8 + 2 * len(ItemCoder().encode(item))


def test_every_kind_has_a_tag_of_its_own() -> None:
    assert set(items._TAGS) == KINDS | {Deferred}
    assert len(set(items._TAGS.values())) == len(items._TAGS)


@pytest.mark.parametrize("kind", sorted({Item, *KINDS}, key=lambda kind: kind.__name__))
def test_beam_takes_the_coder(kind: type[Item]) -> None:
    assert isinstance(registry.get_coder(kind), ItemCoder)


def test_a_batch_counts_its_proteins() -> None:
    first, other, second = make_protein(0), Settled("a.fa", "", "part", 1, 0), make_protein(1)
    batch = Batch((first, other, second))
    assert len(batch) == 2
    assert batch.proteins == [first, second]


def test_what_the_model_is_given() -> None:
    protein = make_protein(sequence="MKTAYI", residues_used=4)
    assert (protein.used, protein.tokens) == ("MKTA", 6)
