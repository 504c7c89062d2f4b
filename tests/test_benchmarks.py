from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from benchmarks.batches import longest_first, slice_by_sum, slice_padded
from benchmarks.commands.gate import judge
from benchmarks.entries import ENTRIES
from benchmarks.measure import read_peak_megabytes
from benchmarks.mixes import (
    choose_warm_up,
    draw_large,
    draw_short,
    read_fasta,
    write_fasta,
    write_random,
)
from benchmarks.peer import Passes
from benchmarks.peers import esm_efficient, fair_esm
from benchmarks.quality import compare
from benchmarks.summary import add_ratios, describe_input, summarise
from benchmarks.table import fill_page, format_peers
from benchmarks.weights import SHAPES, rename, write_checkpoint
from transforms.esm.checkpoints import find_checkpoint
from transforms.esm.weights import load_encoder

FACTS = {
    "records": 3,
    "residues": 300,
    "flops": 1e9,
    "unique_flops": 5e8,
    "flops_per_second": {"ceiling": 1e10},
}
RUN = {
    "seconds": 2.0,
    "cpu_seconds": 4.0,
    "forward_seconds": 1.0,
    "slots": 400,
    "tokens": 300,
    "peak_mb": 500.0,
    "peak_cuda_mb": None,
    "vectors": 3,
    "worst_difference": 1e-6,
    "least_cosine": 1.0,
}


@pytest.fixture
def one_result() -> dict[str, Any]:
    """A result of one input: an entry that was measured, and one that was not."""
    measured = {"budget": None, "failure": None, "versions": {}}
    failed = {"budget": None, "failure": "why", "versions": {}, "summary": None}
    entries = {"script": measured | {"summary": summarise([RUN], FACTS)}, "esm-cpp": failed}
    machine = {"processor": "p", "cores": 2, "torch": "t", "transformers": "t", "apache-beam": "b"}
    return {
        "time": "now",
        "machine": machine,
        "options": {"shape": "toy", "device": "cpu", "threads": 1, "rounds": 1},
        "dtype": "float32",
        "mixes": {"short": FACTS | {"unique_residues": 5, "entries": entries}},
    }


@given(lengths=st.lists(st.integers(3, 1026), max_size=60), budget=st.integers(1, 5000))
def test_every_sequence_is_in_one_batch_and_no_batch_is_above_the_budget(
    lengths: list[int], budget: int
) -> None:
    order = longest_first(lengths)
    padded, summed = slice_padded(lengths, budget), slice_by_sum(order, lengths, budget)
    for batches in (padded, summed):
        assert [index for batch in batches for index in batch] == order
    for batch in padded:
        assert max(lengths[index] for index in batch) * len(batch) <= budget or len(batch) == 1
    for batch in summed:
        assert sum(lengths[index] for index in batch) <= budget or len(batch) == 1


def test_short_reads_are_short_and_some_are_there_twice() -> None:
    drawn = draw_short(1000, seed=1)
    assert len(drawn) == 1000
    assert len(set(drawn)) == pytest.approx(700, abs=10)
    assert 85 < statistics.median(map(len, drawn)) < 115
    assert set("".join(drawn)) == set("ACDEFGHIKLMNPQRSTVWY")
    assert draw_short(1000, seed=1) == drawn
    assert draw_short(1000, seed=2) != drawn


def test_proteins_are_drawn_without_a_source_too() -> None:
    drawn = draw_large(50, source=None)
    assert len(set(drawn)) == 50
    assert draw_large(50, source=None) == drawn
    assert 150 < statistics.median(map(len, drawn)) < 600


def test_proteins_are_drawn_from_a_source_but_none_with_a_letter_that_is_no_residue(
    tmp_path: Path,
) -> None:
    source = tmp_path / "a.fasta"
    source.write_text(">a\nMKTAYI\n>b\nMK*AYI\n>c\nMKTaYI\n")
    assert draw_large(5, source=source) == ["MKTAYI"] * 5


def test_the_warm_up_is_like_the_input_but_shares_no_sequence_with_it() -> None:
    sequences = draw_short(100)
    warm_up = choose_warm_up(sequences)
    assert len(warm_up) == 8
    assert not set(warm_up) & set(sequences)
    assert set(map(len, warm_up)) <= set(map(len, sequences))
    assert len(choose_warm_up(sequences[:3])) == 3


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    sequences = ["MKT" * 50, "A" * 60, "W"]
    records = read_fasta(write_fasta(tmp_path / "a.fasta", sequences))
    assert list(records) == ["protein_00000", "protein_00001", "protein_00002"]
    assert list(records.values()) == sequences


def test_of_what_is_drawn_at_random_nothing_is_there_twice(tmp_path: Path) -> None:
    assert write_random(tmp_path / "in", ["MKTAYIAKQR", "ACDEFG"], 5, 2) == 42
    texts = [path.read_text() for path in sorted((tmp_path / "in").iterdir())]
    assert [text.count(">") for text in texts] == [2, 2, 1]
    lines = "".join(texts).split()
    assert len(set(lines)) == 10
    assert sorted(lines[-1]) == sorted("MKTAYIAKQR")


def test_the_work_of_650m_is_that_of_the_facts() -> None:
    # 33 x (8 x 1280^2 + 4 x 1280 x 5120) a token, and 33 x 4 x 352 x 1280 for its attention.
    per_token = 1.2976e9 + 33 * 4 * 352 * 1280
    assert SHAPES["650M"].count_flops([350]) == pytest.approx(352 * per_token, rel=1e-4)
    assert SHAPES["8M"].count_flops([10, 20]) == pytest.approx(
        SHAPES["8M"].count_flops([10]) + SHAPES["8M"].count_flops([20])
    )


def test_a_checkpoint_has_the_published_names_and_is_loaded_by_us(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "checkpoint", SHAPES["toy"])
    with safe_open(directory / "model.safetensors", "numpy") as file:
        names = set(file.keys())
    assert {
        "esm.encoder.layer.1.attention.LayerNorm.weight",
        "esm.encoder.layer.1.attention.self.rotary_embeddings.inv_freq",
        "esm.embeddings.word_embeddings.weight",
        "lm_head.decoder.weight",
    } <= names
    found = find_checkpoint(str(directory))
    assert (found.layers, found.hidden_size) == (2, 64)
    load_encoder(found, "float32", "cpu")  # which refuses what does not fit


@pytest.mark.parametrize(
    ("name", "fair", "efficient"),
    [
        ("esm.embeddings.word_embeddings.weight", "embed_tokens.weight", "embed_tokens.weight"),
        (
            "esm.encoder.layer.11.attention.self.query.bias",
            "layers.11.self_attn.q_proj.bias",
            "layers.11.self_attn.q.bias",
        ),
        (
            "esm.encoder.layer.0.attention.LayerNorm.weight",
            "layers.0.self_attn_layer_norm.weight",
            "layers.0.self_attn.norm.weight",
        ),
        (
            "esm.encoder.layer.0.LayerNorm.weight",
            "layers.0.final_layer_norm.weight",
            "layers.0.final.0.weight",
        ),
        (
            "esm.encoder.layer.0.output.dense.weight",
            "layers.0.fc2.weight",
            "layers.0.final.3.weight",
        ),
        (
            "esm.encoder.emb_layer_norm_after.bias",
            "emb_layer_norm_after.bias",
            "emb_layer_norm_after.bias",
        ),
    ],
)
def test_peers_get_our_weights_under_their_names(name: str, fair: str, efficient: str) -> None:
    assert rename(name, fair_esm.PARTS) == fair
    assert rename(name, esm_efficient.PARTS) == efficient


def test_vectors_are_compared_on_the_scale_of_the_reference() -> None:
    reference = np.array([3.0, -3.0, 3.0, -3.0])
    compared = compare(
        {"a": reference + np.array([0.3, 0, 0, 0]), "b": reference, "c": reference},
        {"a": reference, "b": reference},
    )
    assert compared["compared"] == 2
    assert compared["worst_difference"] == pytest.approx(0.1)
    assert 0.99 < compared["least_cosine"] < 1


def test_a_vector_that_is_no_number_is_no_good_vector() -> None:
    reference = np.ones(4)
    vectors = {"a": np.full(4, np.nan), "b": np.ones(4)}
    compared = compare(vectors, {"a": reference, "b": reference})
    assert np.isnan(compared["worst_difference"])
    assert np.isnan(compared["least_cosine"])
    assert np.isnan(compare({}, {"a": reference})["least_cosine"])


def test_rounds_are_summed_up_by_their_median_and_vectors_by_the_worst() -> None:
    slow = RUN | {"seconds": 30.0, "forward_seconds": 3.0, "worst_difference": 0.5, "vectors": 2}
    summary = summarise([RUN, slow, RUN], FACTS)
    assert summary["residues_per_second"] == 150
    assert summary["residues_per_cpu_second"] == 75
    assert summary["spread"] == 15
    assert summary["share_in_model"] == 0.5
    assert summary["padding"] == 0.25
    assert summary["worst_difference"] == 0.5
    assert summary["without_vector"] == 1
    assert summary["shares"]["ceiling"] == pytest.approx((0.05, 0.025))
    assert summarise([], FACTS) is None


def test_entries_are_held_against_ours() -> None:
    ours = summarise([RUN], FACTS)
    script = summarise([RUN | {"seconds": 4.0, "cpu_seconds": 16.0}], FACTS)
    assert script is not None
    add_ratios(script, ours)
    assert script["ratio_to_ours"] == 0.5
    assert script["ratio_by_cpu_time"] == 0.25
    add_ratios(None, ours)


def test_what_there_is_to_do_is_told_with_and_without_duplicates() -> None:
    shape = SHAPES["toy"]
    facts = describe_input(["MKT", "MKT", "AC"], shape, {"ceiling": [1.0, 3.0, 2.0]})
    assert (facts["records"], facts["residues"], facts["unique_residues"]) == (3, 8, 5)
    assert facts["unique_flops"] == shape.count_flops([3, 2])
    assert facts["flops_per_second"] == {"ceiling": 2.0}


def test_passes_of_a_module_are_counted_without_what_was_before() -> None:
    import torch

    passes = Passes()
    module = torch.nn.Embedding(33, 4)
    passes.watch(module)
    module(torch.tensor([[0, 5, 2]]))
    passes.take()
    module(torch.tensor([[0, 5, 5, 2], [0, 2, 1, 1]]))
    taken = passes.take()
    assert (taken.slots, taken.tokens) == (8, 6)
    assert taken.seconds > 0
    assert passes.take() == Passes()


@pytest.mark.parametrize(
    ("ratios", "code", "said"),
    [
        ([1.02, 0.99, 1.0], 0, "1.000"),
        ([0.94, 0.93, 1.2], 0, "warning"),
        ([0.89, 0.80, 1.2], 1, "failure"),
    ],
)
def test_the_gate_goes_by_the_median(ratios: list[float], code: int, said: str) -> None:
    assert judge(ratios)[0] == code
    assert said in judge(ratios)[1]


def test_this_process_takes_memory() -> None:
    assert 50 < read_peak_megabytes() < 100_000


def test_tables_take_their_places_in_a_page(one_result: dict[str, Any]) -> None:
    page = "# Speed\n<!-- short -->\nold\n<!-- /short -->\nthe rest\n"
    filled = fill_page(page, one_result)
    assert "old" not in filled
    assert filled.endswith("<!-- /short -->\nthe rest\n")
    assert f"| {ENTRIES['script'].label} | default | 150 |" in filled
    assert "| not measured: why |" in filled
    assert fill_page(filled, one_result) == filled
    with pytest.raises(ValueError, match="no place for short"):
        fill_page("# Speed\n", one_result)


def test_a_pipe_in_a_message_does_not_break_the_table(one_result: dict[str, Any]) -> None:
    one_result["mixes"]["short"]["entries"]["esm-cpp"]["failure"] = "a|b"
    assert "| not measured: a/b |" in format_peers(one_result)
