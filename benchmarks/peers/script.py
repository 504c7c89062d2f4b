"""The sequential script that this pipeline replaces: its loop, with its ways.

Sequences by length, longest first; batches by the sum of their tokens, so padding comes on top;
Hugging Face's tokenizer; the mean of each record taken in the model's own precision, and each
vector brought to the CPU by itself.
"""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.batches import longest_first, slice_by_sum
from benchmarks.mixes import cut, read_fasta
from benchmarks.peer import Peer, Setting, Vectors
from benchmarks.peers.hugging_face import load_forward


def load(setting: Setting) -> Peer:
    """Loads model and tokenizer."""
    forward = load_forward(setting)

    @torch.inference_mode()
    def embed(fasta: Path) -> Vectors:
        records = read_fasta(fasta)
        names, sequences = list(records), cut(records.values())
        tokens = [len(sequence) + 2 for sequence in sequences]
        vectors = {}
        for batch in slice_by_sum(longest_first(tokens), tokens, setting.budget or 2048):
            hidden = forward([sequences[index] for index in batch])
            for row, index in enumerate(batch):
                mean = hidden[row, 1 : len(sequences[index]) + 1].mean(dim=0)
                vectors[names[index]] = mean.float().cpu().numpy()
        return vectors

    return Peer(embed)
