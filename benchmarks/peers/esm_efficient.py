"""esm-efficient (PyPI ``esm-efficient``): packed batches through flash attention; CUDA alone."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.batches import longest_first, slice_by_sum
from benchmarks.mixes import cut, read_fasta
from benchmarks.peer import Peer, Setting, UnavailableError, Vectors
from benchmarks.weights import rename

# ESM-2 scales embeddings by this when nothing is masked, and this model does not.
_TOKEN_DROPOUT_SCALE = 0.88

PARTS = {
    "attention.self.query": "self_attn.q",
    "attention.self.key": "self_attn.k",
    "attention.self.value": "self_attn.v",
    "attention.output.dense": "self_attn.out",
    "attention.LayerNorm": "self_attn.norm",
    "LayerNorm": "final.0",
    "intermediate.dense": "final.1",
    "output.dense": "final.3",
}


def load(setting: Setting) -> Peer:
    """Loads the model with our weights under its names."""
    import flash_attn  # noqa: F401  # first, because it is what is missing on most machines
    from esme.alphabet import tokenize_unpad

    if setting.device != "cuda" or setting.dtype == "float32":
        raise UnavailableError("runs on CUDA, in half precision")
    model = load_model(setting)
    budget = setting.budget or 16384

    @torch.inference_mode()
    def embed(fasta: Path) -> Vectors:
        records = read_fasta(fasta)
        names, sequences = list(records), cut(records.values())
        vectors = {}
        lengths = [len(sequence) + 2 for sequence in sequences]
        for batch in slice_by_sum(longest_first(lengths), lengths, budget):
            tokens, _, starts, longest = tokenize_unpad([sequences[index] for index in batch])
            hidden = model.forward_representation(
                tokens.to(setting.device), (starts.to(setting.device), longest)
            )
            bounds = zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)
            means = torch.stack(
                [hidden[start + 1 : stop - 1].float().mean(dim=0) for start, stop in bounds]
            ).cpu()
            vectors.update((names[index], means[row].numpy()) for row, index in enumerate(batch))
        return vectors

    return Peer(embed)


def load_model(setting: Setting) -> torch.nn.Module:
    """Returns the model."""
    from esme.esm import ESM2
    from safetensors.torch import load_file
    from transformers import EsmConfig

    config = EsmConfig.from_pretrained(setting.checkpoint)
    dtype = getattr(torch, setting.dtype)
    model = ESM2(
        config.num_hidden_layers, config.hidden_size, config.num_attention_heads, dtype=dtype
    )
    tensors = load_file(setting.checkpoint / "model.safetensors")
    report = model.load_state_dict(
        {rename(name, PARTS): tensor for name, tensor in tensors.items()}, strict=False
    )
    if lost := [name for name in report.missing_keys if not name.startswith("lm_head")]:
        raise RuntimeError(f"Weights do not fit: {lost} are missing.")
    with torch.no_grad():
        model.embed_tokens.weight *= _TOKEN_DROPOUT_SCALE
    model = model.eval().to(setting.device)
    # Its representation is computed past its forward, by these two and what is between them.
    setting.passes.watch(model.embed_tokens, model.emb_layer_norm_after)
    return model
