"""FAESM (PyPI ``faesm``): flash attention on CUDA, SDPA elsewhere, in sorted, padded batches."""

from __future__ import annotations

import torch

from benchmarks.padded import embed_padded
from benchmarks.peer import Peer, Setting


def load(setting: Setting) -> Peer:
    """Loads the model."""
    from faesm.esm import FAEsmForMaskedLM

    model = FAEsmForMaskedLM.from_pretrained(
        str(setting.checkpoint), use_fa=setting.device == "cuda"
    )
    model = model.eval().to(getattr(torch, setting.dtype)).to(setting.device)
    setting.passes.watch(model.esm)

    def forward(sequences: list[str]) -> torch.Tensor:
        inputs = model.tokenizer(sequences, return_tensors="pt", padding=True)
        ids = inputs["input_ids"].to(setting.device)
        return model.esm(ids, attention_mask=ids.ne(model.pad_id)).last_hidden_state

    return Peer(lambda fasta: embed_padded(fasta, setting.budget or 2048, forward))
