"""Checkpoints with changes, and the reference that every vector is held against."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import EsmModel

from transforms.esm.encoding import encode


def copy_checkpoint(checkpoint: Path, target: Path, **changes: Any) -> Path:
    """Copies a checkpoint; a change to None leaves a field of config.json out."""
    shutil.copytree(checkpoint, target)
    config = json.loads((target / "config.json").read_text()) | changes
    config = {name: value for name, value in config.items() if value is not None}
    (target / "config.json").write_text(json.dumps(config))
    return target


def load_reference(checkpoint: Path) -> EsmModel:
    """The plainest way: transformers' EsmModel, float32, eager attention."""
    return EsmModel.from_pretrained(
        checkpoint, dtype=torch.float32, attn_implementation="eager", add_pooling_layer=False
    ).eval()


def hidden_states(encoder: torch.nn.Module, sequence: str) -> torch.Tensor:
    """Returns the last hidden states of one sequence, (n + 2, D)."""
    ids = torch.from_numpy(encode(sequence))[None]
    with torch.inference_mode():
        output = encoder(input_ids=ids, attention_mask=torch.ones_like(ids))
    hidden: torch.Tensor = output.last_hidden_state[0]
    return hidden


def embed_alone(encoder: torch.nn.Module, sequence: str) -> np.ndarray:
    """Returns the mean over the residues of one sequence, (D,)."""
    return hidden_states(encoder, sequence)[1:-1].mean(0).numpy()


def worst_difference(vectors: np.ndarray, references: np.ndarray) -> float:
    """Returns the largest difference, on references scaled to unit RMS; both (n, D)."""
    rms = np.sqrt((references**2).mean(axis=1, keepdims=True))
    return float((np.abs(vectors - references) / rms).max())
