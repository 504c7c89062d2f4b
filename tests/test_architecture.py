"""Tests of what is known of a model by its configuration alone."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
import pytest

from tests.model_helpers import copy_checkpoint
from transforms.errors import ConfigurationError
from transforms.esm.architecture import ESM2_650M, count_parameters
from transforms.esm.checkpoints import find_checkpoint, find_config
from transforms.esm.weights import load_encoder


def test_parameters_are_counted_as_they_are_loaded(tiny_checkpoint: Path) -> None:
    config = find_config(str(tiny_checkpoint))
    assert config is not None
    encoder = load_encoder(find_checkpoint(str(tiny_checkpoint)), "float32", "cpu")
    counts = {name: each.numel() for name, each in encoder.named_parameters()}
    needed = (n for name, n in counts.items() if not name.startswith("contact_head."))
    assert count_parameters(config) == sum(needed)


def test_the_large_model_has_650_million() -> None:
    assert count_parameters(ESM2_650M) == pytest.approx(650e6, rel=0.01)


def test_neither_weights_nor_network_are_needed(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = copy_checkpoint(tiny_checkpoint, tmp_path / "copy")
    (copy / "model.safetensors").unlink()
    config = find_config(str(copy))
    assert config["hidden_size"] == 32
    demo = find_config("demo")
    assert demo["hidden_size"] == 128
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: pytest.fail("asked the hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    assert find_config("some/esm") is None
    commit = tmp_path / "cache/models--some--esm/snapshots" / ("0" * 40)
    commit.mkdir(parents=True)
    (commit / "config.json").write_bytes((copy / "config.json").read_bytes())
    found = find_config("some/esm", "0" * 40)
    assert found == config


def test_what_is_no_esm_2_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    other = copy_checkpoint(tiny_checkpoint, tmp_path / "bert", model_type="bert")
    with pytest.raises(ConfigurationError, match="'bert'"):
        find_config(str(other))
