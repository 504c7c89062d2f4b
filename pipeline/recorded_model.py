"""The model that an output was made with, found again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transforms.errors import ConfigurationError
from transforms.esm.checkpoints import find_checkpoint
from transforms.esm.devices import resolve_device, resolve_dtype
from transforms.esm.model import ModelConfig


def find_recorded_model(
    configuration: Mapping[str, Any], model: str | None, device: str, dtype: str, advice: str
) -> ModelConfig:
    """Returns the model of an output, once it is known to be the same.

    Args:
        configuration: What the output was made with.
        model: Where the model is now; None for where it was.
        device: As ``--device`` takes it.
        dtype: As ``--dtype`` takes it.
        advice: What else there is to do if it cannot be had.

    Raises:
        ConfigurationError: It cannot be had, or is another one.
    """
    name, revision = configuration["model"], configuration["revision"]
    if model is not None:
        name, revision = model, None
    device = resolve_device(device)
    dtype = resolve_dtype(dtype, device)
    try:
        checkpoint = find_checkpoint(name, revision)
    except ConfigurationError as error:
        raise ConfigurationError(f"{error} {advice}") from error
    if checkpoint.fingerprint != configuration["fingerprint"]:
        raise ConfigurationError(
            f"{checkpoint.model} is not the model that the output was made with "
            f"({configuration['model']}): its weights or its config.json differ. {advice}"
        )
    return ModelConfig(checkpoint.model, checkpoint.revision, dtype, device)
