"""Tests of the last look at vectors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers import assert_same_bits, make_block, make_dead_letter, make_end, make_protein
from transforms.items import DeadLetter, EmbeddingBlock, Item
from transforms.validation import _ValidateDoFn, validate

NAN, INF, HUGE = np.nan, np.inf, np.finfo(np.float32).max

BAD = {
    "nan": [[NAN] * 4, [1, 2, NAN, 4], [INF, NAN, 0, 0], [INF, -INF, NAN, 1]],
    "inf": [[INF, 1, 2, 3], [0, 0, 0, -INF], [INF, -INF, 1, 1]],
    "all_zero": [[0] * 4, [-0.0] * 4, [0.0, -0.0, 0.0, -0.0]],
}
GOOD = [
    [1, 2, 3, 4],
    [1, -1, 1, -1],
    [0, 0, 0, 1e-45],
    [HUGE, HUGE, HUGE, HUGE],
    [-HUGE, -HUGE, -HUGE, -HUGE],
    [HUGE, HUGE, -HUGE, -HUGE],
]
BAD_ROWS = [(row, error_type) for error_type, rows in BAD.items() for row in rows]


@pytest.mark.parametrize(("row", "error_type"), BAD_ROWS)
def test_a_bad_vector_is_a_dead_letter(row: list[float], error_type: str) -> None:
    protein = make_protein(7, sequence="MKT")
    (letter,) = validate(make_block(protein, vectors=[row]), dim=4)
    assert isinstance(letter, DeadLetter)
    assert (letter.stage, letter.error_type) == ("validate", error_type)
    assert (letter.ordinal, letter.id, letter.sequence) == (7, protein.id, "MKT")


@pytest.mark.parametrize("row", GOOD)
def test_a_finite_vector_is_good_whatever_its_sum(row: list[float]) -> None:
    block = make_block(make_protein(), vectors=[row])
    assert validate(block, dim=4) == [block]


@pytest.mark.parametrize("dim", [3, 5, 1280])
def test_no_vector_of_another_width_is_kept(dim: int) -> None:
    letters = validate(make_block(make_protein(0), make_protein(1)), dim)
    assert [letter.error_type for letter in letters] == ["wrong_dimension"] * 2
    assert [letter.ordinal for letter in letters] == [0, 1]
    assert f"4 values, not {dim}" in letters[0].message


def test_without_a_width_any_is_good() -> None:
    block = make_block(make_protein())
    assert validate(block, None) == [block]


@settings(deadline=None)
@given(st.lists(st.sampled_from(BAD_ROWS) | st.sampled_from(GOOD), min_size=1, max_size=12))
def test_a_bad_row_takes_no_neighbour_with_it(rows: list) -> None:
    good = [i for i, row in enumerate(rows) if isinstance(row, list)]
    vectors = [row if isinstance(row, list) else row[0] for row in rows]
    proteins = [make_protein(i) for i in range(len(rows))]
    result = validate(make_block(*proteins, vectors=vectors), dim=4)

    blocks = [item for item in result if isinstance(item, EmbeddingBlock)]
    assert [p.ordinal for block in blocks for p in block.proteins] == good
    assert len(blocks) == (1 if good else 0)
    for block in blocks:
        assert_same_bits(block.vectors, [vectors[i] for i in good])

    letters = [item for item in result if isinstance(item, DeadLetter)]
    assert {letter.ordinal: letter.error_type for letter in letters} == {
        i: row[1] for i, row in enumerate(rows) if i not in good
    }
    assert len(result) == len(blocks) + len(letters)


@pytest.mark.parametrize("item", [make_protein(), make_dead_letter(), make_end(1)])
def test_other_kinds_pass_untouched(item: Item) -> None:
    (passed,) = _ValidateDoFn(4).process(item)
    assert passed is item


def test_the_step_checks_the_width() -> None:
    (letter,) = _ValidateDoFn(5).process(make_block(make_protein()))
    assert letter.error_type == "wrong_dimension"
