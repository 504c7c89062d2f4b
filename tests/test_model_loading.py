from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
import torch
from apache_beam.metrics import MetricsFilter
from apache_beam.ml.inference.base import RunInference
from apache_beam.testing.util import assert_that, equal_to

from tests.helpers import make_protein
from tests.model_helpers import copy_checkpoint
from transforms import events
from transforms.beam_metrics import NAMESPACE
from transforms.errors import ConfigurationError
from transforms.esm.checkpoints import Checkpoint, find_checkpoint
from transforms.esm.loaded import LoadedModels
from transforms.esm.model import EsmModelHandler, ModelConfig, keep_model
from transforms.esm.weights import load_encoder
from transforms.items import Batch, EmbeddingBlock, Item

RUNNERS = ["FnApiRunner", "BundleBasedDirectRunner"]


@pytest.fixture(autouse=True)
def _new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives each test the empty cache of a new process."""
    monkeypatch.setattr("transforms.esm.model.MODELS", LoadedModels())


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was really read, as (dtype, device)."""
    seen: list[tuple[str, str]] = []

    def load(checkpoint: Checkpoint, dtype: str, device: str) -> torch.nn.Module:
        seen.append((dtype, device))
        return load_encoder(checkpoint, dtype, device)

    monkeypatch.setattr("transforms.esm.loaded.load_encoder", load)
    return seen


@pytest.fixture
def config(tiny_checkpoint: Path) -> ModelConfig:
    return ModelConfig(str(tiny_checkpoint), device="cpu")


def ids_of(item: Item) -> list[str]:
    return [protein.id for protein in item.proteins] if isinstance(item, EmbeddingBlock) else []


def run_pipeline(runner: str, config: ModelConfig) -> int:
    """Embeds three times six records in one pipeline, and returns what it counted as loads."""
    proteins = [make_protein(i, sequence="MKTAYI"[i:] + "M") for i in range(6)]
    batches = [Batch((protein,)) for protein in proteins]
    pipeline = beam.Pipeline(runner)
    for step in range(3):
        ids = (
            pipeline
            | f"Create {step}" >> beam.Create(batches)
            | f"Infer {step}" >> RunInference(EsmModelHandler(config))
            | f"Ids {step}" >> beam.FlatMap(ids_of)
        )
        assert_that(ids, equal_to([protein.id for protein in proteins]), label=f"All {step}")
    result = pipeline.run()
    result.wait_until_finish()
    metrics = MetricsFilter().with_namespace(NAMESPACE).with_name("model_loads")
    return sum(counter.result for counter in result.metrics().query(metrics)["counters"])


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_model_is_loaded_once_in_many_lifetimes_of_dofns(
    runner: str, config: ModelConfig, loads: list[Any]
) -> None:
    assert [run_pipeline(runner, config) for _ in range(3)] == [1, 0, 0]
    assert loads == [("float32", "cpu")]


def test_a_load_is_announced(
    tiny_checkpoint: Path, config: ModelConfig, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[events.Event] = []
    with events.listening(seen.append), caplog.at_level(logging.INFO, "transforms.esm.loaded"):
        handler = EsmModelHandler(config)
        assert handler.load_model() is handler.load_model()
    (event,) = seen
    assert isinstance(event, events.ModelLoaded)
    assert (event.model, event.device, event.dtype) == (str(tiny_checkpoint), "cpu", "float32")
    (record,) = caplog.records
    assert str(tiny_checkpoint) in record.getMessage()


def test_another_precision_is_another_model(tiny_checkpoint: Path, loads: list[Any]) -> None:
    for dtype in ("float32", "bfloat16", "auto", "bfloat16"):
        model = EsmModelHandler(ModelConfig(str(tiny_checkpoint), None, dtype, "cpu")).load_model()
        expected = torch.float32 if dtype == "auto" else getattr(torch, dtype)
        assert next(model.parameters()).dtype == expected
    assert loads == [("float32", "cpu"), ("bfloat16", "cpu")]


def test_changed_weights_are_loaded_anew(
    tiny_checkpoint: Path, tmp_path: Path, loads: list[Any]
) -> None:
    copy = copy_checkpoint(tiny_checkpoint, tmp_path / "copy")
    handler = EsmModelHandler(ModelConfig(str(copy), device="cpu"))
    before = handler.load_model()
    data = bytearray((copy / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (copy / "model.safetensors").write_bytes(data)
    assert handler.load_model() is not before
    assert len(loads) == 2


def test_a_model_that_is_kept_is_not_loaded(loads: list[Any]) -> None:
    model = torch.nn.Dropout()
    keep_model("mine", model)
    assert EsmModelHandler(ModelConfig("mine")).load_model() is model
    assert not model.training
    assert loads == []


def test_a_kept_model_embeds_in_a_pipeline(tiny_checkpoint: Path, loads: list[Any]) -> None:
    keep_model("mine", load_encoder(find_checkpoint(str(tiny_checkpoint)), "float32", "cpu"))
    assert run_pipeline("FnApiRunner", ModelConfig("mine")) == 0
    assert loads == []


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (ModelConfig("./nothing"), "There is no directory"),
        (ModelConfig("demo", device="tpu"), "--device"),
        (ModelConfig("demo", dtype="int3"), "--dtype"),
    ],
)
def test_what_cannot_be_had_is_a_configuration_error(config: ModelConfig, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        EsmModelHandler(config).load_model()
