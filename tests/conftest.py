from __future__ import annotations

import os

# The models of the tests are tiny: a second thread only waits, for long where cores are shared.
# Before torch is imported, and for the processes that tests start.
os.environ["OMP_NUM_THREADS"] = "1"

import logging
from pathlib import Path

import pytest
import torch
from transformers import EsmConfig, EsmForMaskedLM

from transforms import beam_metrics
from transforms.esm.model import _CACHE

LEVELS = {n: logging.getLogger(n).level for n in ("", "apache_beam", "pipeline", "transforms")}


@pytest.fixture(autouse=True)
def _same_logging() -> None:
    """Undoes what the command line has set up, in a test or a fixture, for the whole process."""
    for name, level in LEVELS.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture(autouse=True)
def _nothing_known() -> None:
    """Forgets what other tests have left in the process for its next run."""
    _CACHE.learned.clear()
    beam_metrics._held.clear()


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random ESM-2 in which nothing is degenerate: a lost weight or a wrong position shows."""
    config = EsmConfig(
        vocab_size=33,
        mask_token_id=32,
        pad_token_id=1,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=1026,
        layer_norm_eps=1e-5,
        position_embedding_type="rotary",
        token_dropout=True,
        emb_layer_norm_before=False,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    generator = torch.Generator().manual_seed(0)
    model = EsmForMaskedLM(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            drawn = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim == 1:
                parameter.copy_(0.1 * drawn + ("weight" in name))
            elif "embeddings" in name:
                parameter.copy_(drawn)
            else:
                gain = 2.0 if ".query." in name or ".key." in name else 1.0
                parameter.copy_(drawn * gain / parameter.shape[1] ** 0.5)
    directory = tmp_path_factory.mktemp("checkpoints") / "tiny"
    model.save_pretrained(directory)
    return directory
