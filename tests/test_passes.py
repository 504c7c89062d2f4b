from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import sha256
from transforms import events
from transforms.arrays import Vector
from transforms.esm.bisection import Failure
from transforms.esm.checkpoints import find_checkpoint
from transforms.esm.encoder import pack_encoder
from transforms.esm.encoding import VOCAB
from transforms.esm.pass_budget import PassBudget
from transforms.esm.passes import embed_passes
from transforms.esm.slicing import count_passes, slice_passes
from transforms.esm.under_way import UNDER_WAY, Notes, count_deaths
from transforms.esm.weights import load_encoder

all_lengths = st.lists(st.integers(1, 300), max_size=60).map(lambda found: sorted(found)[::-1])
budgets = st.integers(1, 2000)


@given(lengths=all_lengths, budget=budgets)
def test_every_sequence_is_in_exactly_one_pass(lengths: list[int], budget: int) -> None:
    indices = [index for chosen in slice_passes(lengths, budget) for index in chosen]
    assert indices == list(range(len(lengths)))


@given(lengths=all_lengths, budget=budgets)
def test_a_pass_keeps_the_budget_unless_it_is_one_sequence(lengths: list[int], budget: int) -> None:
    for chosen in slice_passes(lengths, budget):
        cost = (max(lengths[index] for index in chosen) + 2) * len(chosen)
        assert cost <= budget or len(chosen) == 1


@given(lengths=all_lengths, budget=budgets)
def test_a_pass_ends_only_where_the_next_sequence_would_not_fit(
    lengths: list[int], budget: int
) -> None:
    passes = list(slice_passes(lengths, budget))
    for chosen in passes[:-1]:
        assert (lengths[chosen[0]] + 2) * (len(chosen) + 1) > budget


@given(lengths=all_lengths, budget=st.integers(300, 4000), workers=st.integers(2, 9))
def test_for_several_workers_passes_become_smaller_towards_the_end(
    lengths: list[int], budget: int, workers: int
) -> None:
    passes = list(slice_passes(lengths, budget, padded=False, workers=workers))
    assert [index for chosen in passes for index in chosen] == list(range(len(lengths)))
    costs = [sum(lengths[index] + 2 for index in chosen) for chosen in passes]
    for number, (cost, chosen) in enumerate(zip(costs, passes, strict=True)):
        fair = sum(costs[number:]) / (2 * workers)
        assert cost <= min(budget, max(256, fair)) or len(chosen) == 1


@pytest.mark.parametrize(
    ("lengths", "budget", "expected"),
    [
        ([], 100, []),
        ([8], 1, [1]),
        ([8, 8, 8], 20, [2, 1]),
        ([8, 8, 8], 30, [3]),
        ([98, 3, 3], 50, [1, 2]),
        ([8, 3, 3], 20, [2, 1]),
    ],
)
def test_examples(lengths: list[int], budget: int, expected: list[int]) -> None:
    assert list(map(len, slice_passes(lengths, budget))) == expected


@given(lengths=st.lists(st.integers(1, 300), max_size=60), budget=budgets)
def test_packed_passes_compute_the_tokens_that_there_are(lengths: list[int], budget: int) -> None:
    passes, computed = count_passes(lengths, budget, padded=False)
    assert computed == sum(lengths) + 2 * len(lengths)
    assert passes <= count_passes(lengths, budget)[0]


class Spied(torch.nn.Module):
    """Keeps what it was given and what was noted then; breaks its device, or fails, on demand."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root
        self.passes: list[list[str]] = []
        self.notes: list[list[str]] = []
        self.killers: Sequence[str] = ()
        self.capacity = 10**9

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        rows = ["".join(VOCAB[i] for i in row if i > 2) for row in input_ids.tolist()]
        self.passes.append(rows)
        self.notes.append(
            [
                digest
                for path in (self.root / UNDER_WAY).glob("note-*")
                for digest in path.read_text().partition("\n\n")[0].split()
            ]
        )
        if any(killer in row for killer in self.killers for row in rows):
            raise RuntimeError("CUDA error: device-side assert triggered")
        if input_ids.numel() > self.capacity:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return SimpleNamespace(last_hidden_state=torch.nn.functional.one_hot(input_ids, 33).float())


@pytest.fixture
def model(tmp_path: Path) -> Spied:
    return Spied(tmp_path)


def embed(
    model: Spied, sequences: Sequence[str], max_residues: int = 1024, toks_per_batch: int = 2048
) -> dict[str, Vector | Failure]:
    """Embeds as a new run does, on an output where others may have died."""
    count_deaths(str(model.root))
    model.passes, model.notes = [], []
    notes = Notes(str(model.root), "run")
    outcomes: dict[str, Vector | Failure] = {}
    for completed in embed_passes(
        model, sequences, PassBudget(toks_per_batch), max_residues, notes
    ):
        outcomes.update(completed)
    return outcomes


def test_padded_passes_are_counted_as_they_are_run(model: Spied) -> None:
    sequences = ["A" * length for length in (1, 30, 5, 9, 31, 200, 32, 64)]
    heard: list[events.Event] = []
    with events.listening(heard.append):
        list(embed_passes(model, sequences, PassBudget(80), 1024))
    slots = [event.slots for event in heard if isinstance(event, events.PassComputed)]
    assert count_passes(list(map(len, sequences)), 80) == (len(slots), sum(slots))


def dies(model: Spied, sequences: Sequence[str], *limits: int) -> list[list[str]]:
    """Does the same, where the device breaks; returns the passes until then."""
    with pytest.raises(RuntimeError, match="device-side assert"):
        embed(model, sequences, *limits)
    return model.passes


def failures(outcomes: dict[str, Vector | Failure]) -> dict[str, str]:
    return {s: o.error_type for s, o in outcomes.items() if isinstance(o, Failure)}


def test_each_call_of_the_model_is_noted_while_it_is_under_way(model: Spied) -> None:
    model.capacity = 20
    embed(model, ["ACDEF", "CDEFG", "DEF", "ACDEF"])
    assert model.passes == [
        ["M"],
        ["ACDEF", "CDEFG", "DEF"],
        ["ACDEF"],
        ["CDEFG", "DEF"],
    ]
    assert model.notes == [[], *([sha256(s) for s in rows] for rows in model.passes[1:])]


def test_running_out_of_memory_makes_nobody_a_suspect(model: Spied) -> None:
    model.capacity = 6
    for _ in range(2):
        assert failures(embed(model, ["ACDEF", "DEF"])) == {"ACDEF": "oom"}
        assert model.passes == [["M"], ["ACDEF", "DEF"], ["ACDEF"], ["DEF"]]


def test_where_memory_ran_out_the_passes_that_remain_are_cut_smaller(model: Spied) -> None:
    model.capacity = 10
    embed(model, [f"AC{residue}" for residue in "DEFGHIKLMN"], toks_per_batch=20)
    assert list(map(len, model.passes[1:])) == [4, 2, 2, 2, 2, 2]


def test_a_killer_dies_twice_and_then_costs_no_other_record_anything(model: Spied) -> None:
    model.killers = ["W"]
    sequences = ["ACDEF", "AWF", "DEF", "AC"]
    assert dies(model, sequences) == [["M"], ["ACDEF", "AWF", "DEF", "AC"]]
    assert dies(model, sequences) == [["M"], ["ACDEF"], ["AWF"]]
    outcomes = embed(model, sequences)
    assert model.passes == [["M"], ["DEF"], ["AC"], ["ACDEF"]]
    assert failures(outcomes) == {"AWF": "process_died"}
    assert list(outcomes) == ["AWF", "DEF", "AC", "ACDEF"]
    # And for ever: who went through is no suspect any more, and the killer is not run.
    assert failures(embed(model, sequences)) == {"AWF": "process_died"}
    assert model.passes == [["M"], ["ACDEF", "DEF", "AC"]]


def test_the_longest_go_first_and_equals_keep_their_order(model: Spied) -> None:
    embed(model, ["DEF", "AC", "ACDEF", "EFG", "CDEFG"], toks_per_batch=7)
    assert model.passes[1:] == [["ACDEF"], ["CDEFG"], ["DEF"], ["EFG"], ["AC"]]


def test_alone_or_not_a_sequence_gets_the_same_vector(model: Spied) -> None:
    sequences = ["ACDEF", "DEF", "AC"]
    expected = embed(model, sequences)
    model.killers = ["A"]
    dies(model, sequences)
    model.killers = []
    actual = embed(model, sequences)
    assert model.passes[1:] == [["ACDEF"], ["DEF"], ["AC"]]
    assert actual.keys() == expected.keys()
    for sequence, vector in expected.items():
        np.testing.assert_array_equal(actual[sequence], vector)


def test_two_killers_of_one_pass_cost_three_deaths(model: Spied) -> None:
    model.killers = ["W", "Y"]
    sequences = ["ACDEF", "AWF", "AYF", "AC"]
    for _ in range(3):
        dies(model, sequences)
    assert failures(embed(model, sequences)) == {"AWF": "process_died", "AYF": "process_died"}


def test_the_windows_of_a_sequence_are_one_suspect(model: Spied) -> None:
    """It is cleared by the last of its windows, not by the first."""
    model.killers = ["WW"]
    sequences, limits = ["ACDEFGWW", "ACD"], (4, 12)
    assert dies(model, sequences, *limits) == [["M"], ["ACDE", "EFGW"], ["FGWW", "ACD"]]
    assert dies(model, sequences, *limits) == [["M"], ["ACDE", "EFGW"], ["FGWW"]]
    outcomes = embed(model, sequences, *limits)
    assert model.passes == [["M"], ["ACD"]]
    assert failures(outcomes) == {"ACDEFGWW": "process_died"}
    assert outcomes.keys() == set(sequences)


def test_a_long_sequence_that_goes_through_alone_is_cleared(model: Spied) -> None:
    model.killers = ["WW"]
    sequences, limits = ["ACDEFGWW", "ACD"], (4, 12)
    dies(model, sequences, *limits)
    model.killers = []
    assert failures(embed(model, sequences, *limits)) == {}
    assert model.passes == [["M"], ["ACDE", "EFGW"], ["FGWW"], ["ACD"]]
    embed(model, sequences, *limits)
    assert model.passes == [["M"], ["ACDE", "EFGW"], ["FGWW", "ACD"]]


def test_a_device_that_never_worked_is_the_fault_of_no_record(model: Spied) -> None:
    model.killers = ["M"]  # what the device is tried out with
    for _ in range(3):
        assert dies(model, ["ACDEF", "DEF"]) == [["M"]]
    model.killers = []
    assert failures(embed(model, ["ACDEF", "DEF"])) == {}
    assert model.passes == [["M"], ["ACDEF", "DEF"]]


def test_without_a_watch_the_device_is_not_tried_out(model: Spied) -> None:
    assert [list(done) for done in embed_passes(model, ["ACD"], PassBudget(2048), 1024)] == [
        ["ACD"]
    ]
    assert model.passes == [["ACD"]]


def test_without_a_sequence_that_can_be_run_nothing_is(model: Spied) -> None:
    assert failures(embed(model, ["AC*", ""])) == {"AC*": "invalid_residue", "": "empty_sequence"}
    assert model.passes == []


def test_passes_side_by_side_give_what_they_give_one_by_one(
    tiny_checkpoint: Path,
) -> None:
    encoder = pack_encoder(load_encoder(find_checkpoint(str(tiny_checkpoint)), "float32", "cpu"))
    rng = random.Random(5)
    sequences = ["".join(rng.choices("ACDEFGHIKL", k=rng.randrange(1, 900))) for _ in range(60)]

    def embed_on(threads: int) -> tuple[dict[str, Vector | Failure], int]:
        torch.set_num_threads(threads)
        outcomes: dict[str, Vector | Failure] = {}
        heard: list[events.Event] = []
        with events.listening(heard.append):
            for completed in embed_passes(encoder, sequences, PassBudget(1024), 300):
                outcomes.update(completed)
        return outcomes, sum(isinstance(event, events.PassComputed) for event in heard)

    before = torch.get_num_threads()
    try:
        (expected, _), (found, passes) = embed_on(1), embed_on(3)
    finally:
        torch.set_num_threads(before)
    assert passes > 20
    assert found.keys() == expected.keys() == set(sequences)
    for sequence, vector in expected.items():
        np.testing.assert_allclose(found[sequence], vector, atol=1e-5)
