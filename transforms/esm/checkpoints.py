"""Which weights a model name stands for, and what they are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transforms.errors import ConfigurationError
from transforms.esm.architecture import DEMO_CONFIG, read_config
from transforms.esm.hub import fetch, find_fetched
from transforms.esm.weight_files import make_fingerprint

DEFAULT_MODEL = "Synthyra/FastESM2_650"
DEMO_MODEL = "demo"

_DEMO_FINGERPRINT = "demo-1"

_SIZES = ("t6_8M", "t12_35M", "t30_150M", "t33_650M", "t36_3B", "t48_15B")
_KNOWN = (DEMO_MODEL, DEFAULT_MODEL, *(f"facebook/esm2_{size}_UR50D" for size in _SIZES))


@dataclass(frozen=True)
class Checkpoint:
    """A model that is there to be loaded.

    Attributes:
        model: ``demo``, the absolute path of a directory, or a hub id.
        revision: Commit on the hub; None for other models.
        directory: Where its files lie; None for the demo model.
        hidden_size: Width D of its vectors.
        layers: Number of its transformer layers.
        fingerprint: What it computes: a SHA-256 over architecture and weights.
    """

    model: str
    revision: str | None
    directory: str | None
    hidden_size: int
    layers: int
    fingerprint: str


def find_checkpoint(model: str, revision: str | None = None) -> Checkpoint:
    """Finds a model, and fetches it from the Hugging Face hub if it is not there yet.

    Args:
        model: ``demo``, a local directory, or a hub id.
        revision: Branch, tag or commit on the hub; None for its main branch.

    Raises:
        ConfigurationError: The model cannot be had, or is no ESM-2; the message says what to do.
    """
    if _is_hub_id(model, revision):
        directory = fetch(model, revision, _KNOWN)
        name, commit = model, directory.name
    elif model == DEMO_MODEL:
        width, layers = DEMO_CONFIG["hidden_size"], DEMO_CONFIG["num_hidden_layers"]
        return Checkpoint(DEMO_MODEL, None, None, width, layers, _DEMO_FINGERPRINT)
    else:
        directory = Path(os.path.expanduser(model)).resolve()
        name, commit = str(directory), None
    with _told_of(directory):
        config = read_config(directory)
        fingerprint = make_fingerprint(directory, config)
    width, layers = config["hidden_size"], config["num_hidden_layers"]
    return Checkpoint(name, commit, str(directory), width, layers, fingerprint)


def find_config(model: str, revision: str | None = None) -> dict[str, Any] | None:
    """Returns what :func:`read_config` does; neither weights nor the network are looked at.

    Args:
        model: ``demo``, a local directory, or a hub id.
        revision: Branch, tag or commit on the hub; None for its main branch.

    Returns:
        The fields; None for a hub model that was not fetched yet.

    Raises:
        ConfigurationError: There is no such directory, or it holds no ESM-2 that can be read.
    """
    if _is_hub_id(model, revision):
        directory = find_fetched(model, revision)
    elif model == DEMO_MODEL:
        return DEMO_CONFIG
    else:
        directory = Path(os.path.expanduser(model))
    if directory is None:
        return None
    with _told_of(directory):
        return read_config(directory)


def _is_hub_id(model: str, revision: str | None) -> bool:
    """Tells whether a model is to be had from the hub: it is neither ``demo`` nor a directory.

    Raises:
        ConfigurationError: It is a directory that is not there, or has no revisions.
    """
    is_here = model == DEMO_MODEL or os.path.isdir(os.path.expanduser(model))
    if is_here and revision is not None:
        raise ConfigurationError(
            f"--revision goes with a hub id, and --model {model} is none. Leave out --revision."
        )
    if not is_here and _looks_like_path(model):
        raise ConfigurationError(
            f"There is no directory {model}. Give --model the directory of a checkpoint "
            "(config.json and model.safetensors), or a hub id."
        )
    return not is_here


def _looks_like_path(model: str) -> bool:
    return model.startswith((".", "/", "~")) or model.count("/") > 1 or os.path.exists(model)


@contextmanager
def _told_of(directory: Path) -> Iterator[None]:
    """Says of which model it is that something cannot be read."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"The model in {directory} cannot be read ({error.strerror or error}). "
            "Make its files readable, or give another --model."
        ) from error
