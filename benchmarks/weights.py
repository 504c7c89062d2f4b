"""ESM-2 checkpoints of known shape with seeded random weights: speed does not depend on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SPECIAL_TOKENS = 2  # <cls> and <eos>


@dataclass(frozen=True)
class Shape:
    """The shape of an encoder.

    Attributes:
        layers: Number of transformer layers.
        hidden: Width h.
        heads: Attention heads.
        ffn: Width of the feed-forward layers.
    """

    layers: int
    hidden: int
    heads: int
    ffn: int

    def count_flops(self, lengths: Iterable[int]) -> float:
        """Returns the floating-point operations that sequences need: linear layers and attention.

        Args:
            lengths: Residues of each sequence.
        """
        linear = self.layers * (8 * self.hidden**2 + 4 * self.hidden * self.ffn)
        attention = self.layers * 4 * self.hidden
        tokens = [length + SPECIAL_TOKENS for length in lengths]
        return float(sum(count * (linear + attention * count) for count in tokens))


SHAPES = {
    "toy": Shape(layers=2, hidden=64, heads=4, ffn=256),
    "8M": Shape(layers=6, hidden=320, heads=20, ffn=1280),
    "650M": Shape(layers=33, hidden=1280, heads=20, ffn=5120),
}


def make_model(shape: Shape, seed: int = 0, device: str = "cpu") -> Any:
    """Returns an ``EsmForMaskedLM`` with random weights.

    They are drawn so that nothing is degenerate: no bias is zero, no attention flat, and
    activations keep their size through the layers. So a wrong computation shows in the vectors.

    Args:
        shape: Of the encoder.
        seed: Of the draw.
        device: Where it is drawn; other devices draw other weights.
    """
    import torch
    from transformers import EsmConfig, EsmForMaskedLM

    from transforms.esm.encoding import VOCAB

    config = EsmConfig(
        vocab_size=len(VOCAB),
        mask_token_id=VOCAB.index("<mask>"),
        pad_token_id=VOCAB.index("<pad>"),
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.ffn,
        max_position_embeddings=1026,
        layer_norm_eps=1e-5,
        position_embedding_type="rotary",
        token_dropout=True,
        emb_layer_norm_before=False,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    generator = torch.Generator(device).manual_seed(seed)
    with torch.device(device):
        model = EsmForMaskedLM(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            drawn = torch.randn(parameter.shape, generator=generator, device=device)
            if parameter.ndim == 1:
                drawn = 0.1 * drawn + ("weight" in name)
            elif "embeddings" not in name:
                gain = 2.0 if ".query." in name or ".key." in name else 1.0
                drawn *= gain / parameter.shape[1] ** 0.5
            parameter.copy_(drawn)
    return model


def write_checkpoint(directory: Path, shape: Shape, seed: int = 0, device: str = "cpu") -> Path:
    """Writes a checkpoint with its tokenizer, under the names that the published ones have.

    Args:
        directory: Where to.
        shape: Of the encoder.
        seed: Of the draw.
        device: Where it is drawn; other devices draw other weights.

    Returns:
        The directory.
    """
    from safetensors.torch import save_file
    from transformers import EsmTokenizer

    from transforms.esm.encoding import VOCAB

    model = make_model(shape, seed, device)
    directory.mkdir(parents=True)
    model.config.architectures = ["EsmForMaskedLM"]
    model.config.save_pretrained(directory)
    save_file(_published_names(model), directory / "model.safetensors", metadata={"format": "pt"})
    vocabulary = directory / "vocab.txt"
    vocabulary.write_text("\n".join(VOCAB) + "\n")
    EsmTokenizer(str(vocabulary)).save_pretrained(directory)
    return directory


def _published_names(model: Any) -> dict[str, Any]:
    """Returns the tensors as published checkpoints have them: frequencies in every layer."""
    tensors = {
        name: tensor.cpu().contiguous().clone() for name, tensor in model.state_dict().items()
    }
    frequencies = tensors.pop("esm.rotary_embeddings.inv_freq")
    for layer in range(model.config.num_hidden_layers):
        name = f"esm.encoder.layer.{layer}.attention.self.rotary_embeddings.inv_freq"
        tensors[name] = frequencies.clone()
    return tensors


def rename(name: str, parts: Mapping[str, str]) -> str:
    """Returns another program's name of a parameter of transformers' ``EsmForMaskedLM``.

    Args:
        name: Ours.
        parts: Its names of the parts of a layer, by ours.
    """
    name = name.removeprefix("esm.").replace("embeddings.word_embeddings", "embed_tokens")
    name = name.replace("lm_head.decoder.weight", "lm_head.weight").removeprefix("encoder.")
    if not name.startswith("layer."):
        return name
    _, layer, rest = name.split(".", 2)
    part, _, kind = rest.rpartition(".")
    return f"layers.{layer}.{parts.get(part, part)}.{kind}"
