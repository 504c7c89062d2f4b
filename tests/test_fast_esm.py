from __future__ import annotations

import gc
import inspect
import logging
import os
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import EsmForMaskedLM

from pipeline.checks import Plan
from pipeline.execution import execute
from pipeline.fast_esm import extract_fast_esm
from pipeline.run_report import Report
from tests.model_helpers import embed_alone
from tests.outputs import lines
from transforms.errors import ConfigurationError, FastaFormatError
from transforms.esm.checkpoints import find_checkpoint
from transforms.esm.weights import load_encoder

SEQUENCES = {"a": "MKTAYIAK", "long": "ACDEFGHIKL" * 200, "b": "GGG", "a2": "MKTAYIAK"}


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    path = tmp_path / "my.family.fa"
    path.write_text("".join(f">{name} x\n{text}\n" for name, text in SEQUENCES.items()))
    return path


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> torch.nn.Module:
    return load_encoder(find_checkpoint(str(tiny_checkpoint)), "float32", "cpu")


def test_the_signature_is_that_of_the_script() -> None:
    parameters = inspect.signature(extract_fast_esm).parameters
    assert {name: p.default for name, p in parameters.items()} == {
        "fasta_file": inspect.Parameter.empty,
        "out_file": None,
        "model": None,
        "tokenizer": None,
        "truncation_seq_length": 1024,
        "toks_per_batch": 2048,
    }


def test_it_returns_and_saves_what_the_script_did(
    fasta: Path, tmp_path: Path, model: torch.nn.Module
) -> None:
    out = tmp_path / "saved_ESM.pt"
    proteins, data = extract_fast_esm(str(fasta), str(out), model, object(), 1024, 300)
    assert proteins == list(SEQUENCES)
    saved = torch.load(out, weights_only=True)
    assert saved["proteins"] == proteins
    for sequence, tensor, other in zip(SEQUENCES.values(), data, saved["data"], strict=True):
        assert torch.equal(tensor, other)
        assert tensor.dtype == torch.float32
        reference = embed_alone(model, sequence[:1024])
        np.testing.assert_allclose(tensor.numpy(), reference, atol=1e-5)
    assert sorted(os.listdir(tmp_path)) == ["my.family.fa", "saved_ESM.pt"]


def test_a_saved_file_is_returned_and_not_computed_again(fasta: Path, tmp_path: Path) -> None:
    out = tmp_path / "saved.pt"
    torch.save({"proteins": ["x"], "data": [torch.ones(3)]}, out)
    proteins, data = extract_fast_esm(str(fasta), str(out), model="nowhere/at-all")
    assert proteins == ["x"]
    assert torch.equal(data[0], torch.ones(3))


def test_failed_records_are_left_out_and_listed(
    fasta: Path, tmp_path: Path, model: torch.nn.Module, caplog: pytest.LogCaptureFixture
) -> None:
    with fasta.open("a") as handle:
        handle.write(">bad\nMK7\n")
    caplog.set_level(logging.WARNING)
    out = tmp_path / "saved.pt"
    proteins, data = extract_fast_esm(str(fasta), str(out), model)
    assert proteins == list(SEQUENCES)
    assert len(data) == len(proteins)
    (failure,) = lines(tmp_path / "saved.failures.jsonl")
    assert failure["id"] == "bad"
    assert "bad | invalid_residue" in caplog.text


def test_nothing_is_saved_where_nothing_worked(
    tmp_path: Path, fasta: Path, model: torch.nn.Module
) -> None:
    out = tmp_path / "saved.pt"
    fasta.write_text(">bad\nMK7\n")
    with pytest.raises(RuntimeError, match=r"None of the 1 records.*'7' at position 3"):
        extract_fast_esm(str(fasta), str(out), model)
    fasta.write_text("LOCUS\n")
    with pytest.raises(FastaFormatError, match="GenBank"):
        extract_fast_esm(str(fasta), str(out), model)
    with pytest.raises(ConfigurationError, match="nothing.fa"):
        extract_fast_esm(str(tmp_path / "nothing.fa"), str(out), model)
    assert os.listdir(tmp_path) == ["my.family.fa"]


def test_a_model_with_a_head_and_paths_will_do(
    fasta: Path, tmp_path: Path, tiny_checkpoint: Path, model: torch.nn.Module
) -> None:
    with_head = EsmForMaskedLM.from_pretrained(tiny_checkpoint).eval()
    _, expected = extract_fast_esm(str(fasta), model=model)
    _, data = extract_fast_esm(fasta, tmp_path / "new" / "out.pt", model=with_head)
    for tensor, other in zip(data, expected, strict=True):
        torch.testing.assert_close(tensor, other, atol=1e-5, rtol=0)
    assert (tmp_path / "new" / "out.pt").exists()
    with pytest.raises(ConfigurationError, match="is a folder"):
        extract_fast_esm(tmp_path, model=model)


def test_a_model_may_be_named(fasta: Path) -> None:
    _, data = extract_fast_esm(str(fasta), model="demo")
    assert [tuple(tensor.shape) for tensor in data] == [(128,)] * 4


def test_weights_that_were_changed_in_place_give_other_vectors(
    fasta: Path, tiny_checkpoint: Path
) -> None:
    model = load_encoder(find_checkpoint(str(tiny_checkpoint)), "float32", "cpu")
    extract_fast_esm(fasta, model=model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    _, data = extract_fast_esm(fasta, model=model)
    np.testing.assert_allclose(data[2].numpy(), embed_alone(model, SEQUENCES["b"]), atol=1e-5)


def test_each_of_several_threads_has_its_own_model(
    fasta: Path, tiny_checkpoint: Path, model: torch.nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = load_encoder(find_checkpoint(str(tiny_checkpoint)), "float32", "cpu")
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.5)
    both_are_known = threading.Barrier(2)

    def execute_together(plan: Plan) -> Report:
        both_are_known.wait(60)
        return execute(plan)

    monkeypatch.setattr("pipeline.fast_esm.execute", execute_together)

    def extract(model: torch.nn.Module) -> torch.Tensor:
        return extract_fast_esm(fasta, model=model)[1][2]

    with ThreadPoolExecutor() as pool:
        found = list(pool.map(extract, (model, other)))
    for vector, its in zip(found, (model, other), strict=True):
        np.testing.assert_allclose(vector.numpy(), embed_alone(its, SEQUENCES["b"]), atol=1e-5)


def test_nothing_is_held_afterwards(fasta: Path, tiny_checkpoint: Path) -> None:
    model = load_encoder(find_checkpoint(str(tiny_checkpoint)), "float32", "cpu")
    extract_fast_esm(fasta, model=model)
    held = weakref.ref(model)
    del model
    extract_fast_esm(fasta, model="demo")  # Beam holds the last one
    gc.collect()
    assert held() is None
    assert gc.get_freeze_count() == 0


def test_a_pattern_of_several_files_is_refused(fasta: Path, model: torch.nn.Module) -> None:
    fasta.with_name("other.fa").write_text(">a\nMK\n")
    with pytest.raises(ConfigurationError, match=r"\*\.fa matches 2 files"):
        extract_fast_esm(fasta.with_name("*.fa"), model=model)
