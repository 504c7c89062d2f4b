"""Hugging Face's ``EsmModel`` as it is, one by one and in sorted, padded batches."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.batches import embed_padded
from benchmarks.mixes import MAX_RESIDUES, read_fasta
from benchmarks.peer import Peer, Setting, Vectors


def load_forward(setting: Setting, attention: str = "sdpa") -> Callable[[list[str]], torch.Tensor]:
    """Loads what gives the last hidden states of sequences, and has its passes counted."""
    from transformers import EsmModel

    model = EsmModel.from_pretrained(
        setting.checkpoint,
        dtype=getattr(torch, setting.dtype),
        attn_implementation=attention,
        add_pooling_layer=False,
    )
    model = model.eval().to(setting.device)
    setting.passes.watch(model)
    tokenizer = load_tokenizer(setting)

    def forward(sequences: list[str]) -> torch.Tensor:
        inputs = tokenizer(sequences, return_tensors="pt", padding=True).to(setting.device)
        return model(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]
        ).last_hidden_state

    return forward


def load_tokenizer(setting: Setting) -> Any:
    """Loads Hugging Face's tokenizer."""
    from transformers import EsmTokenizer

    return EsmTokenizer.from_pretrained(setting.checkpoint)


def load_single(setting: Setting, attention: str = "sdpa") -> Peer:
    """Loads what embeds one sequence at a time."""
    forward = load_forward(setting, attention)

    @torch.inference_mode()
    def embed(fasta: Path) -> Vectors:
        return {
            name: forward([sequence[:MAX_RESIDUES]])[0, 1:-1].float().mean(dim=0).cpu().numpy()
            for name, sequence in read_fasta(fasta).items()
        }

    return Peer(embed)


load_reference = partial(load_single, attention="eager")


def load_padded(setting: Setting) -> Peer:
    """Loads what embeds sequences of similar length together."""
    forward = load_forward(setting)
    return Peer(lambda fasta: embed_padded(fasta, setting.budget or 2048, forward))
