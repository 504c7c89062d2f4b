"""Facebook's own ``fair-esm``: its FASTA data set, its batches, its model, as in its extract.py."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.mixes import MAX_RESIDUES
from benchmarks.peer import Peer, Setting, Vectors
from benchmarks.weights import rename

# transformers' names of the parts of a layer, and those of fair-esm.
PARTS = {
    "attention.self.query": "self_attn.q_proj",
    "attention.self.key": "self_attn.k_proj",
    "attention.self.value": "self_attn.v_proj",
    "attention.output.dense": "self_attn.out_proj",
    "attention.LayerNorm": "self_attn_layer_norm",
    "intermediate.dense": "fc1",
    "output.dense": "fc2",
    "LayerNorm": "final_layer_norm",
}


def load(setting: Setting) -> Peer:
    """Loads the model with our weights under its names."""
    from esm import FastaBatchedDataset

    model, alphabet = load_model(setting)
    budget = setting.budget or 4096
    convert = alphabet.get_batch_converter(MAX_RESIDUES)

    @torch.inference_mode()
    def embed(fasta: Path) -> Vectors:
        dataset = FastaBatchedDataset.from_file(fasta)
        batches = dataset.get_batch_indices(budget, extra_toks_per_seq=1)
        loader = torch.utils.data.DataLoader(dataset, collate_fn=convert, batch_sampler=batches)
        vectors = {}
        for names, sequences, tokens in loader:
            output = model(tokens.to(setting.device), repr_layers=[model.num_layers])
            hidden = output["representations"][model.num_layers].cpu()
            for row, name in enumerate(names):
                length = min(len(sequences[row]), MAX_RESIDUES)
                vectors[name] = hidden[row, 1 : length + 1].float().mean(dim=0).numpy()
        return vectors

    return Peer(embed)


def load_model(setting: Setting) -> tuple[torch.nn.Module, object]:
    """Returns model and alphabet."""
    from esm import ESM2, Alphabet
    from safetensors.torch import load_file
    from transformers import EsmConfig

    config = EsmConfig.from_pretrained(setting.checkpoint)
    alphabet = Alphabet.from_architecture("ESM-1b")
    model = ESM2(config.num_hidden_layers, config.hidden_size, config.num_attention_heads, alphabet)
    tensors = load_file(setting.checkpoint / "model.safetensors")
    report = model.load_state_dict(
        {rename(name, PARTS): tensor for name, tensor in tensors.items()}, strict=False
    )
    lost = [name for name in report.missing_keys if not name.endswith("inv_freq")]
    left_over = [name for name in report.unexpected_keys if not name.endswith("inv_freq")]
    if lost or left_over:
        raise RuntimeError(f"Weights do not fit: {lost} are missing, {left_over} left over.")
    model = model.eval().to(getattr(torch, setting.dtype)).to(setting.device)
    setting.passes.watch(model)
    return model, alphabet
