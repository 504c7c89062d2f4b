"""The architecture of a model, as its ``config.json`` tells it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transforms.errors import ConfigurationError

# What is read of config.json. Everything else in it is ignored, above all `auto_map`.
_FIELDS = (
    "vocab_size", "mask_token_id", "pad_token_id", "hidden_size", "num_hidden_layers",
    "num_attention_heads", "intermediate_size", "layer_norm_eps", "position_embedding_type",
    "token_dropout",
)  # fmt: skip
_OPTIONAL_FIELDS = ("max_position_embeddings", "emb_layer_norm_before", "rope_theta")
# What FastESM's own configuration class fills in where its config.json is silent.
_FAST_ESM_DEFAULTS = {"position_embedding_type": "rotary", "token_dropout": True}
_VOCAB_SIZE = 33

DEMO_CONFIG: dict[str, Any] = {
    "vocab_size": _VOCAB_SIZE, "mask_token_id": 32, "pad_token_id": 1, "hidden_size": 128,
    "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 512,
    "layer_norm_eps": 1e-5, "position_embedding_type": "rotary", "token_dropout": True,
    "max_position_embeddings": 1026, "emb_layer_norm_before": False,
}  # fmt: skip

ESM2_650M = {
    "vocab_size": 33, "hidden_size": 1280, "num_hidden_layers": 33, "intermediate_size": 5120,
}  # fmt: skip
"""The shape of facebook/esm2_t33_650M_UR50D, which FastESM2_650 has too."""


def read_config(directory: Path) -> dict[str, Any]:
    """Returns the plain fields of ``config.json``, of those that matter to the encoder.

    Raises:
        ConfigurationError: There is none, or it does not describe an ESM-2.
        OSError: It cannot be read.
    """
    try:
        config = json.loads((directory / "config.json").read_bytes())
    except FileNotFoundError:
        raise unusable(directory, "has no config.json") from None
    except ValueError:
        raise unusable(directory, "has a config.json that is not JSON") from None
    model_type = config.get("model_type") if isinstance(config, dict) else None
    if model_type == "fast_esm":
        config = _FAST_ESM_DEFAULTS | config
    elif model_type != "esm":
        raise unusable(directory, f"is a model of type {model_type!r}")
    fields = {
        name: config[name] for name in _FIELDS + _OPTIONAL_FIELDS if config.get(name) is not None
    }
    if missing := [name for name in _FIELDS if name not in fields]:
        raise unusable(directory, f"has a config.json without {', '.join(missing)}")
    if fields["vocab_size"] != _VOCAB_SIZE:
        raise unusable(directory, f"has a vocabulary of {fields['vocab_size']} tokens, not 33")
    if fields["position_embedding_type"] != "rotary":
        raise unusable(directory, f"has {fields['position_embedding_type']} positions: an ESM-1")
    for name in ("hidden_size", "num_hidden_layers"):
        if not isinstance(fields[name], int) or fields[name] < 1:
            raise unusable(directory, f"has a {name} of {fields[name]!r}")
    return fields


def unusable(directory: Path, fault: str) -> ConfigurationError:
    """Returns what to raise for a checkpoint that ``fault`` is said of."""
    return ConfigurationError(
        f"The model in {directory} {fault}. "
        "Give --model an ESM-2 checkpoint (model_type esm or fast_esm)."
    )


def count_parameters(config: Mapping[str, Any]) -> int:
    """Returns how many parameters the encoder has that a configuration describes.

    Those alone that a run loads: no language model head, no contact head.
    """
    width, inner = config["hidden_size"], config["intermediate_size"]
    attention = 4 * (width * width + width)
    feed_forward = 2 * width * inner + inner + width
    norm = 2 * width
    layer = attention + feed_forward + 2 * norm
    return int(config["vocab_size"] * width + config["num_hidden_layers"] * layer + norm)
