"""Weights into memory: transformers' own ``EsmModel``, and never any downloaded code."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from transforms.errors import ConfigurationError, DeviceError
from transforms.esm.architecture import DEMO_CONFIG, read_config
from transforms.esm.checkpoints import Checkpoint
from transforms.esm.device_errors import is_out_of_memory
from transforms.text import one_line

# Not part of the encoder's computation, or computed where the checkpoint lacks it.
_NOT_NEEDED = ("contact_head.", "rotary_embeddings.inv_freq")


def load_encoder(checkpoint: Checkpoint, dtype: str, device: str) -> nn.Module:
    """Loads the encoder of a checkpoint, ready for inference.

    EsmForMaskedLM, bare EsmModel and FastESM checkpoints hold the same parameters. The
    configuration is built from plain fields, so that ``auto_map`` has no say and a FastESM
    checkpoint gets the key mapping of ESM: else its rotary frequencies would be passed over.

    Args:
        checkpoint: As ``find_checkpoint`` returns it.
        dtype: ``float16``, ``bfloat16`` or ``float32``: of the parameters. The rotary
            frequencies stay as the checkpoint has them, float32 as a rule.
        device: Where it goes, e.g. ``cuda:0``.

    Returns:
        A module that gives ``last_hidden_state`` (B, T, D) for ``input_ids`` and
        ``attention_mask`` (B, T).

    Raises:
        ConfigurationError: Weights are missing, left over, or unreadable.
        DeviceError: There is no memory for them, or the device is in use.
    """
    try:
        with _silence():
            encoder, report = _read(checkpoint, dtype)
    except Exception as error:  # each format of weights has errors of its own
        if is_out_of_memory(error):
            raise _no_room("memory", error) from error
        raise ConfigurationError(
            f"The weights of {checkpoint.directory or checkpoint.model} cannot be loaded "
            f"({_describe(error)}). Give --model a checkpoint that is complete."
        ) from error
    _check(checkpoint, report)
    try:
        return encoder.eval().requires_grad_(False).to(device)
    except (RuntimeError, MemoryError) as error:
        raise _no_room(f"--device {device}", error) from error


def _no_room(where: str, error: Exception) -> DeviceError:
    return DeviceError(
        f"The model cannot be brought into {where} ({_describe(error)}). See what else is there; "
        "later, or where there is more room, the same command goes on."
    )


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(error)}"


def _read(checkpoint: Checkpoint, dtype: str) -> tuple[nn.Module, dict[str, Any]]:
    from transformers import EsmConfig, EsmModel

    folder = checkpoint.directory
    config = EsmConfig(**(DEMO_CONFIG if folder is None else read_config(Path(folder))))
    encoder, report = EsmModel.from_pretrained(
        folder,
        config=config,
        state_dict=_draw_demo_weights(config) if folder is None else None,
        add_pooling_layer=False,
        attn_implementation="sdpa",
        dtype=getattr(torch, dtype),
        ignore_mismatched_sizes=True,  # _check names them
        local_files_only=True,
        output_loading_info=True,
    )
    return encoder, report


def _check(checkpoint: Checkpoint, report: dict[str, Any]) -> None:
    """Makes sure that the checkpoint and the encoder that config.json describes are the same."""
    faults = {
        "are missing": [key for key in report["missing_keys"] if not key.startswith(_NOT_NEEDED)],
        "are left over": [
            key
            for key in report["unexpected_keys"]
            if key.removeprefix("esm.").startswith("encoder.") and not key.endswith("inv_freq")
        ],
        # Those of the contact head too: that is how a wrong number of heads shows.
        "have another shape": [key for key, *_ in report["mismatched_keys"]],
    }
    for fault, keys in faults.items():
        if keys:
            raise ConfigurationError(
                f"The weights in {checkpoint.directory} do not fit its config.json: {len(keys)} "
                f"parameters {fault} ({', '.join(sorted(keys)[:3])}). "
                "Give --model a checkpoint that is complete."
            )


@contextmanager
def _silence() -> Iterator[None]:
    """Keeps transformers from reporting what :func:`_check` looks at, and from drawing bars."""
    from transformers.utils import logging

    verbosity, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bars:
            logging.enable_progress_bar()


def _draw_demo_weights(config: Any) -> dict[str, Tensor]:
    """Returns the demo model's weights, the same on every machine and version of torch."""
    from transformers import EsmModel

    with torch.device("meta"):  # names and shapes alone
        encoder = EsmModel(config, add_pooling_layer=False)
    return {name: _draw(name, tuple(p.shape)) for name, p in encoder.named_parameters()}


def _draw(name: str, shape: tuple[int, ...]) -> Tensor:
    """Draws a parameter by its name, from numpy's frozen generator.

    Scaled so that nothing is degenerate: no bias is zero, no attention flat, and activations
    keep their size through the layers. A lost weight or a wrong position shows.
    """
    drawn = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    if len(shape) == 1:
        drawn = 0.1 * drawn + (1.0 if name.endswith("weight") else 0.0)
    elif "embeddings" not in name:
        gain = 2.0 if ".query." in name or ".key." in name else 1.0
        drawn *= gain / shape[1] ** 0.5
    return torch.from_numpy(drawn.astype(np.float32))
