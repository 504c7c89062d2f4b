"""esm.cpp (PyPI ``esm-cpp``) in float32, one sequence at a time.

Its packed call returns logits alone; hidden states come from its single call.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from benchmarks.mixes import MAX_RESIDUES, read_fasta
from benchmarks.peer import Peer, Setting, UnavailableError, Vectors


def load(setting: Setting) -> Peer:
    """Loads the model."""
    from esm_cpp import Model, Tokenizer

    if setting.device != "cpu" or setting.dtype != "float32":
        raise UnavailableError("runs on the CPU, here measured in float32")
    os.environ["ESM_NUM_THREADS"] = str(setting.threads)  # read when a model is first loaded
    model = Model.load_from_safetensors(str(setting.checkpoint / "model.safetensors"))
    tokenizer = Tokenizer()

    def embed(fasta: Path) -> Vectors:
        vectors = {}
        for name, sequence in read_fasta(fasta).items():
            # Its own truncation is to 1,024 tokens, which are two residues less than others get.
            tokens = tokenizer.encode(sequence[:MAX_RESIDUES], truncate=False)
            ids = np.array(tokens, np.int32)
            with setting.passes.timed(ids):
                _, hidden = model.forward_with_hidden_states(ids)
            vectors[name] = hidden[-1][1:-1].mean(axis=0)
        return vectors

    return Peer(embed)
