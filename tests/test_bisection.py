from __future__ import annotations

import weakref
from collections.abc import Sequence
from unittest.mock import patch

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from transforms import events
from transforms.esm import bisection
from transforms.esm.bisection import Failure, run_isolated


class Model:
    """Returns its items' squares; refuses poison, and calls of more than ``capacity`` items."""

    def __init__(self, poison: Sequence[int] = (), capacity: int = 1000) -> None:
        self.poison = set(poison)
        self.capacity = capacity
        self.calls: list[list[int]] = []
        self.succeeded: list[int] = []

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.calls.append(list(items))
        if len(items) > self.capacity:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        if bad := self.poison.intersection(items):
            raise ValueError(f"cannot digest {sorted(bad)}")
        self.succeeded.extend(items)
        return [item * item for item in items]


def test_a_batch_that_works_is_run_once() -> None:
    model = Model()
    assert run_isolated(model, range(5)) == [0, 1, 4, 9, 16]
    assert model.calls == [[0, 1, 2, 3, 4]]


def test_nothing_is_not_run() -> None:
    model = Model()
    assert run_isolated(model, []) == []
    assert model.calls == []


def test_one_bad_record_costs_no_other_record_anything() -> None:
    model = Model(poison=[5])
    results = run_isolated(model, range(8))
    assert results[5] == Failure("ValueError", "cannot digest [5]", attempts=4)
    assert results[:5] + results[6:] == [0, 1, 4, 9, 16, 36, 49]
    assert model.calls == [[*range(8)], [0, 1, 2, 3], [4, 5, 6, 7], [4, 5], [4], [5], [6, 7]]


def test_out_of_memory_is_taken_in_halves() -> None:
    model, seen = Model(capacity=2), []
    with events.listening(seen.append):
        assert run_isolated(model, range(8)) == [item * item for item in range(8)]
    assert seen == [events.OutOfMemory(8), events.OutOfMemory(4), events.OutOfMemory(4)]
    assert [len(call) for call in model.calls] == [8, 4, 2, 2, 4, 2, 2]


def test_a_record_that_does_not_fit_alone_is_an_oom_failure() -> None:
    results = run_isolated(Model(capacity=0), [1, 2, 3, 4])
    assert (
        results == [Failure("oom", "CUDA out of memory. Tried to allocate 2 GiB.", attempts=3)] * 4
    )


@given(
    count=st.integers(0, 40),
    poison=st.sets(st.integers(0, 39), max_size=6),
    capacity=st.integers(1, 40),
)
def test_every_record_has_one_outcome_in_its_place(
    count: int, poison: set[int], capacity: int
) -> None:
    model = Model(sorted(poison), capacity)
    with patch.object(bisection, "_free_memory"):
        results = run_isolated(model, range(count))
    assert len(results) == count
    for item, result in enumerate(results):
        if item in poison:
            assert isinstance(result, Failure)
            assert result.error_type == "ValueError"
            assert result.attempts == sum(item in call for call in model.calls)
        else:
            assert result == item * item
    assert sorted(model.succeeded) == sorted(set(range(count)) - poison)


@pytest.mark.parametrize("position", [0, 3, 7])
def test_a_broken_device_is_raised_at_once(position: int) -> None:
    calls = 0

    def run(items: Sequence[int]) -> list[int]:
        nonlocal calls
        calls += 1
        if position in items:
            raise torch.AcceleratorError("CUDA error: device-side assert triggered")
        return list(items)

    with pytest.raises(torch.AcceleratorError, match="device-side assert"):
        run_isolated(run, range(8))
    assert calls == 1


def test_memory_is_freed_when_nothing_holds_the_tensors_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    activations: list[weakref.ref[torch.Tensor]] = []
    alive_when_freed: list[bool] = []

    def run(items: Sequence[int]) -> list[int]:
        activation = torch.zeros(8)
        activations.append(weakref.ref(activation))
        raise torch.OutOfMemoryError("CUDA out of memory.")

    def free() -> None:
        alive_when_freed.append(activations[-1]() is not None)

    monkeypatch.setattr(bisection, "_free_memory", free)
    run_isolated(run, range(4))
    assert alive_when_freed == [False] * 7


def test_only_out_of_memory_frees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bisection, "_free_memory", lambda: pytest.fail("it frees"))
    run_isolated(Model(poison=[1]), range(4))


def test_results_that_are_not_one_for_each_record_are_a_bug() -> None:
    with pytest.raises(AssertionError, match="1 results for 2 records"):
        run_isolated(lambda items: [0], [1, 2])


def test_what_a_user_interrupts_stops() -> None:
    def run(items: Sequence[int]) -> list[int]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_isolated(run, [1, 2])
