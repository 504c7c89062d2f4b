"""What can be known of a model before its weights are there: its ``config.json``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transforms.esm.checkpoints import (
    DEMO_MODEL,
    encoder_config,
    find_checkpoint,
    find_fetched,
    is_hub_id,
    read_config,
)

ESM2_650M = {
    "vocab_size": 33, "hidden_size": 1280, "num_hidden_layers": 33, "intermediate_size": 5120,
}  # fmt: skip
"""The shape of facebook/esm2_t33_650M_UR50D, which FastESM2_650 has too."""


def find_config(model: str, revision: str | None = None) -> dict[str, Any] | None:
    """Returns what :func:`read_config` does; neither weights nor the network are looked at.

    Args:
        model: ``demo``, a local directory, or a hub id.
        revision: Branch, tag or commit on the hub; None for its main branch.

    Returns:
        The fields; None for a hub model that was not fetched yet.

    Raises:
        ConfigurationError: There is no such directory, or it holds no ESM-2.
        OSError: Its configuration cannot be read.
    """
    if is_hub_id(model, revision):
        directory = find_fetched(model, revision)
        return read_config(directory) if directory else None
    if model == DEMO_MODEL:
        return encoder_config(find_checkpoint(model))
    return read_config(Path(os.path.expanduser(model)))


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
