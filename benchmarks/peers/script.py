"""The sequential script that this pipeline replaces: its loop, with its ways.

Sequences by length, longest first; batches by the sum of their tokens, so padding comes on top;
Hugging Face's tokenizer; the mean of each record taken in the model's own precision, and each
vector brought to the CPU by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.mixes import MAX_RESIDUES, read_fasta
from benchmarks.peer import Peer, Setting, Vectors
from benchmarks.peers.hugging_face import load_encoder, load_tokenizer


def load(setting: Setting) -> Peer:
    """Loads model and tokenizer."""
    model = load_encoder(setting)
    tokenizer = load_tokenizer(setting)
    budget = setting.budget or 2048

    @torch.inference_mode()
    def embed(fasta: Path) -> Vectors:
        records = sorted(read_fasta(fasta).items(), key=lambda record: -len(record[1]))
        vectors = {}
        for batch in _cut_batches(records, budget):
            inputs = tokenizer(
                [sequence for _, sequence in batch],
                return_tensors="pt",
                padding=True,
                truncation=True,
                max_length=MAX_RESIDUES + 2,
            ).to(setting.device)
            hidden = model(
                input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]
            ).last_hidden_state
            for row, (name, sequence) in enumerate(batch):
                length = min(len(sequence), MAX_RESIDUES)
                vectors[name] = hidden[row, 1 : length + 1].mean(dim=0).float().cpu().numpy()
        return vectors

    return Peer(embed)


def _cut_batches(records: list[tuple[str, str]], budget: int) -> Iterator[list[tuple[str, str]]]:
    batch: list[tuple[str, str]] = []
    tokens = 0
    for record in records:
        cost = min(len(record[1]), MAX_RESIDUES) + 2
        if batch and tokens + cost > budget:
            yield batch
            batch, tokens = [], 0
        batch.append(record)
        tokens += cost
    if batch:
        yield batch
