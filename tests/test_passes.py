from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.passes import slice_passes

all_lengths = st.lists(st.integers(1, 300), max_size=60)
budgets = st.integers(1, 2000)


@given(lengths=all_lengths, budget=budgets)
def test_every_sequence_is_in_exactly_one_pass(lengths: list[int], budget: int) -> None:
    indices = [index for chosen in slice_passes(lengths, budget) for index in chosen]
    assert sorted(indices) == list(range(len(lengths)))


@given(lengths=all_lengths, budget=budgets)
def test_a_pass_keeps_the_budget_unless_it_is_one_sequence(lengths: list[int], budget: int) -> None:
    for chosen in slice_passes(lengths, budget):
        cost = (max(lengths[index] for index in chosen) + 2) * len(chosen)
        assert cost <= budget or len(chosen) == 1


@given(lengths=all_lengths, budget=budgets)
def test_a_pass_ends_only_where_the_next_sequence_would_not_fit(
    lengths: list[int], budget: int
) -> None:
    passes = slice_passes(lengths, budget)
    for chosen in passes[:-1]:
        assert (lengths[chosen[0]] + 2) * (len(chosen) + 1) > budget


@given(lengths=all_lengths, budget=budgets)
def test_the_longest_go_first_and_equals_keep_their_order(lengths: list[int], budget: int) -> None:
    indices = [index for chosen in slice_passes(lengths, budget) for index in chosen]
    assert indices == sorted(indices, key=lambda index: (-lengths[index], index))


@pytest.mark.parametrize(
    ("lengths", "budget", "expected"),
    [
        ([], 100, []),
        ([8], 1, [[0]]),
        ([8, 8, 8], 20, [[0, 1], [2]]),
        ([8, 8, 8], 30, [[0, 1, 2]]),
        ([3, 98, 3], 50, [[1], [0, 2]]),
        ([3, 8, 3], 20, [[1, 0], [2]]),
    ],
)
def test_examples(lengths: list[int], budget: int, expected: list[list[int]]) -> None:
    assert slice_passes(lengths, budget) == expected
