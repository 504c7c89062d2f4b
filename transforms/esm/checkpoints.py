"""Which weights a model name stands for, and what they are."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transforms.errors import ConfigurationError
from transforms.text import nearest

DEFAULT_MODEL = "Synthyra/FastESM2_650"
DEMO_MODEL = "demo"

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

_DEMO_CONFIG: dict[str, Any] = {
    "vocab_size": _VOCAB_SIZE, "mask_token_id": 32, "pad_token_id": 1, "hidden_size": 128,
    "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 512,
    "layer_norm_eps": 1e-5, "position_embedding_type": "rotary", "token_dropout": True,
    "max_position_embeddings": 1026, "emb_layer_norm_before": False,
}  # fmt: skip
_DEMO_FINGERPRINT = "demo-1"

# The names that transformers looks for, in its order: one file, or the index of several.
_WEIGHTS = (
    ("model.safetensors", "model.safetensors.index.json"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json"),
)
_SAFETENSORS_PATTERNS = ("config.json", "model*.safetensors", "model.safetensors.index.json")
_BIN_PATTERNS = ("config.json", "pytorch_model*.bin", "pytorch_model.bin.index.json")

_SIZES = ("t6_8M", "t12_35M", "t30_150M", "t33_650M", "t36_3B", "t48_15B")
_KNOWN = (DEMO_MODEL, DEFAULT_MODEL, *(f"facebook/esm2_{size}_UR50D" for size in _SIZES))

_HUB_TIMEOUT = 10.0  # seconds

logger = logging.getLogger(__name__)


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
    is_remote = is_hub_id(model, revision)
    if model == DEMO_MODEL:
        return Checkpoint(
            model,
            revision=None,
            directory=None,
            hidden_size=_DEMO_CONFIG["hidden_size"],
            layers=_DEMO_CONFIG["num_hidden_layers"],
            fingerprint=_DEMO_FINGERPRINT,
        )
    if is_remote:
        directory = _find_snapshot(model, revision)
        return _read_checkpoint(model, directory.name, directory)
    directory = Path(os.path.expanduser(model)).resolve()
    return _read_checkpoint(str(directory), None, directory)


def is_hub_id(model: str, revision: str | None = None) -> bool:
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


def encoder_config(checkpoint: Checkpoint) -> dict[str, Any]:
    """Returns the fields of transformers' ``EsmConfig`` that a checkpoint's encoder needs."""
    if checkpoint.directory is None:
        return dict(_DEMO_CONFIG)
    return read_config(Path(checkpoint.directory))


def read_config(directory: Path) -> dict[str, Any]:
    """Returns the plain fields of ``config.json``, of those that matter to the encoder.

    Raises:
        ConfigurationError: There is none, or it does not describe an ESM-2.
        OSError: It cannot be read.
    """
    try:
        config = json.loads((directory / "config.json").read_bytes())
    except FileNotFoundError:
        raise _unusable(directory, "has no config.json") from None
    except ValueError:
        raise _unusable(directory, "has a config.json that is not JSON") from None
    model_type = config.get("model_type") if isinstance(config, dict) else None
    if model_type == "fast_esm":
        config = _FAST_ESM_DEFAULTS | config
    elif model_type != "esm":
        raise _unusable(directory, f"is a model of type {model_type!r}")
    fields = {
        name: config[name] for name in _FIELDS + _OPTIONAL_FIELDS if config.get(name) is not None
    }
    if missing := [name for name in _FIELDS if name not in fields]:
        raise _unusable(directory, f"has a config.json without {', '.join(missing)}")
    if fields["vocab_size"] != _VOCAB_SIZE:
        raise _unusable(directory, f"has a vocabulary of {fields['vocab_size']} tokens, not 33")
    if fields["position_embedding_type"] != "rotary":
        raise _unusable(directory, f"has {fields['position_embedding_type']} positions: an ESM-1")
    for name in ("hidden_size", "num_hidden_layers"):
        if not isinstance(fields[name], int) or fields[name] < 1:
            raise _unusable(directory, f"has a {name} of {fields[name]!r}")
    return fields


def _unusable(directory: Path, fault: str) -> ConfigurationError:
    return ConfigurationError(
        f"The model in {directory} {fault}. "
        "Give --model an ESM-2 checkpoint (model_type esm or fast_esm)."
    )


def _looks_like_path(model: str) -> bool:
    return model.startswith((".", "/", "~")) or model.count("/") > 1 or os.path.exists(model)


def _read_checkpoint(model: str, revision: str | None, directory: Path) -> Checkpoint:
    try:
        config = read_config(directory)
        fingerprint = _fingerprint(directory, config)
    except OSError as error:
        raise ConfigurationError(
            f"The model in {directory} cannot be read ({error.strerror or error}). "
            "Make its files readable, or give another --model."
        ) from error
    return Checkpoint(
        model,
        revision,
        directory=str(directory),
        hidden_size=config["hidden_size"],
        layers=config["num_hidden_layers"],
        fingerprint=fingerprint,
    )


def _fingerprint(directory: Path, config: dict[str, Any]) -> str:
    files = _weight_files(directory)
    if not files:
        names = " or ".join(single for single, _ in _WEIGHTS)
        raise _unusable(directory, f"has no complete weights ({names})")
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for file in files:
        stat = file.stat()
        digest.update(_file_sha256(file, stat.st_size, stat.st_mtime_ns).encode())
    return digest.hexdigest()


@functools.lru_cache
def _file_sha256(file: Path, size: int, mtime_ns: int) -> str:
    """Returns the digest of a file; a file of known size and time is not read again."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _weight_files(directory: Path) -> list[Path]:
    """Returns the files that transformers will load, or nothing if they are not all there."""
    for single, index in _WEIGHTS:
        if (directory / single).is_file():
            return [directory / single]
        if (directory / index).is_file():
            try:
                shards = json.loads((directory / index).read_bytes())["weight_map"].values()
            except (ValueError, KeyError, AttributeError, TypeError):
                raise _unusable(directory, f"has a damaged {index}") from None
            files = [directory / shard for shard in sorted(set(shards))]
            return files if all(file.is_file() for file in files) else []
    return []


@functools.lru_cache
def _find_snapshot(model: str, revision: str | None) -> Path:
    """Returns the folder of a hub model, named by its commit; looked up once in a process."""
    is_commit = revision is not None and re.fullmatch(r"[0-9a-f]{40}", revision)
    if is_commit and (cached := _find_cached(model, revision)):
        return cached
    try:
        return _fetch(model, revision)
    except Exception as error:  # of any HTTP library: it differs between versions of the client
        reason = error
    if cached := _find_cached(model, revision):
        logger.warning("%s: the hub does not answer; taking what it last sent.", model)
        return cached
    raise ConfigurationError(_explain(model, revision, reason)) from reason


def _find_cached(model: str, revision: str | None) -> Path | None:
    """Returns the folder of a hub model that was fetched before, if it is complete."""
    directory = find_fetched(model, revision)
    return directory if directory and _weight_files(directory) else None


def find_fetched(model: str, revision: str | None) -> Path | None:
    """Returns the folder of a hub model of which something was fetched before."""
    from huggingface_hub import snapshot_download

    try:
        directory = snapshot_download(
            model, revision=revision, allow_patterns="config.json", local_files_only=True
        )
    except (OSError, ValueError):
        return None
    return Path(directory)


def _fetch(model: str, revision: str | None) -> Path:
    from huggingface_hub import HfApi, snapshot_download

    # One request first: without a network it fails at once, where snapshot_download of a commit
    # tries for 23 seconds. It also tells which weights there are.
    info = HfApi().model_info(model, revision=revision, timeout=_HUB_TIMEOUT)
    names = [sibling.rfilename for sibling in info.siblings or ()]
    is_safe = any(name.endswith(".safetensors") for name in names)
    patterns = _SAFETENSORS_PATTERNS if is_safe else _BIN_PATTERNS
    return Path(snapshot_download(model, revision=revision, allow_patterns=list(patterns)))


def _explain(model: str, revision: str | None, reason: Exception) -> str:
    from huggingface_hub import errors

    meant = nearest(model, _KNOWN)
    spelling = f" Did you mean {meant}?" if meant and meant != model else ""
    if isinstance(reason, errors.HFValidationError):
        return (
            f"--model {model!r} is neither a directory here nor a hub id. Check its spelling."
            f"{spelling}"
        )
    if isinstance(reason, errors.RepositoryNotFoundError):
        return (
            f"The Hugging Face hub has no model {model} that you may read. Check its spelling, or "
            f"log in with `hf auth login`.{spelling}"
        )
    if isinstance(reason, errors.RevisionNotFoundError):
        return f"The model {model} has no revision {revision} on the hub. Give another --revision."
    option = "" if revision is None else f" --revision {revision}"
    said = " ".join(str(reason).split()) or "no reason given"
    return (
        f"The model {model} is no directory here and cannot be fetched from the Hugging Face hub "
        f"({type(reason).__name__}: {said}): download it where there is a network with "
        f"`hf download {model}{option}`, or give --model a directory, or --model demo to try the "
        f"pipeline with random weights.{spelling}"
    )
