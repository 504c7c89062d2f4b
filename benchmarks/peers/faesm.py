"""FAESM (PyPI ``faesm``): flash attention on CUDA, SDPA elsewhere, in sorted, padded batches."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.mixes import cut, read_fasta
from benchmarks.padded import slice_padded
from benchmarks.peer import Peer, Setting, Vectors


def load(setting: Setting) -> Peer:
    """Loads the model."""
    from faesm.esm import FAEsmForMaskedLM

    model = FAEsmForMaskedLM.from_pretrained(
        str(setting.checkpoint), use_fa=setting.device == "cuda"
    )
    model = model.eval().to(getattr(torch, setting.dtype)).to(setting.device)
    setting.passes.watch(model.esm)
    budget = setting.budget or 2048

    @torch.inference_mode()
    def embed(fasta: Path) -> Vectors:
        records = read_fasta(fasta)
        names, sequences = list(records), cut(records.values())
        vectors = {}
        for batch in slice_padded([len(sequence) + 2 for sequence in sequences], budget):
            inputs = model.tokenizer(
                [sequences[index] for index in batch], return_tensors="pt", padding=True
            ).to(setting.device)
            ids = inputs["input_ids"]
            hidden = model.esm(ids, attention_mask=ids.ne(model.pad_id)).last_hidden_state
            means = torch.stack(
                [
                    hidden[row, 1 : len(sequences[index]) + 1].float().mean(dim=0)
                    for row, index in enumerate(batch)
                ]
            ).cpu()
            vectors.update((names[index], means[row].numpy()) for row, index in enumerate(batch))
        return vectors

    return Peer(embed)
