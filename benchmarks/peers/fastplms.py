"""FastPLMs (github.com/Synthyra/FastPLMs), from a checkout: it is not on PyPI."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.mixes import MAX_RESIDUES
from benchmarks.peer import Peer, Setting, UnavailableError, Vectors

_FIELDS = (
    "vocab_size", "mask_token_id", "pad_token_id", "hidden_size", "num_hidden_layers",
    "num_attention_heads", "intermediate_size", "layer_norm_eps", "max_position_embeddings",
    "emb_layer_norm_before", "token_dropout",
)  # fmt: skip
_WHOLE_SET = 10**9


def load_default(setting: Setting) -> Peer:
    """Loads what embeds with the defaults of its ``embed_dataset``: two sequences at a time."""
    return _load(setting)


def load_tuned(setting: Setting) -> Peer:
    """Loads what embeds by tokens, sorted over the whole set."""
    return _load(
        setting,
        batch_size=_WHOLE_SET,
        batch_window_size=_WHOLE_SET,
        max_tokens_per_batch=setting.budget or 2048,
    )


def _load(setting: Setting, **arguments: Any) -> Peer:
    model = _load_model(setting)

    def embed(fasta: Path) -> Vectors:
        result = model.embed_dataset(fasta, max_length=MAX_RESIDUES, **arguments)
        return {record.id: record.load_tensor().cpu().numpy() for record in result.records}

    return Peer(embed)


def _load_model(setting: Setting) -> Any:
    if setting.fastplms is None:
        raise UnavailableError("not on PyPI; give a checkout with --fastplms DIR")
    source = setting.fastplms / "src"
    if not (source / "fastplms").is_dir():
        raise UnavailableError("--fastplms is no checkout of it: there is no src/fastplms in it")
    sys.path.insert(0, str(source))
    from fastplms.models.esm2.modeling_fastesm import FastEsmConfig, FastEsmModel

    content = json.loads((setting.checkpoint / "config.json").read_text())
    config = FastEsmConfig(**{name: content[name] for name in _FIELDS})
    model = FastEsmModel.from_pretrained(
        setting.checkpoint, config=config, dtype=getattr(torch, setting.dtype)
    )
    model = model.eval().to(setting.device)
    # embed_dataset calls these two, and never the model itself.
    setting.passes.watch(model.esm.embeddings, model.esm.encoder)
    return model
