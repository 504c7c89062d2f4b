"""Models of the Hugging Face hub: fetched, or found among those that were fetched before."""

from __future__ import annotations

import functools
import logging
import re
from pathlib import Path

from transforms.errors import ConfigurationError
from transforms.esm.weight_files import find_weight_files
from transforms.text import nearest, one_line

_SAFETENSORS_PATTERNS = ("config.json", "model*.safetensors", "model.safetensors.index.json")
_BIN_PATTERNS = ("config.json", "pytorch_model*.bin", "pytorch_model.bin.index.json")

_TIMEOUT = 10.0  # seconds

logger = logging.getLogger(__name__)


@functools.lru_cache
def fetch(model: str, revision: str | None, known: tuple[str, ...] = ()) -> Path:
    """Returns the folder of a model, named by its commit; it is looked up once in a process.

    Args:
        model: Hub id.
        revision: Branch, tag or commit; None for the main branch.
        known: Names of which ``model`` may be a misspelling.

    Raises:
        ConfigurationError: The model cannot be had; the message says what to do.
    """
    is_commit = revision is not None and re.fullmatch(r"[0-9a-f]{40}", revision)
    if is_commit and (cached := _find_cached(model, revision)):
        return cached
    try:
        return _download(model, revision)
    except Exception as error:  # of any HTTP library: it differs between versions of the client
        reason = error
    if cached := _find_cached(model, revision):
        logger.warning("%s: the hub does not answer; taking what it last sent.", model)
        return cached
    raise ConfigurationError(_explain(model, revision, reason, known)) from reason


def _find_cached(model: str, revision: str | None) -> Path | None:
    """Returns the folder of a hub model that was fetched before, if it is complete."""
    directory = find_fetched(model, revision)
    return directory if directory and find_weight_files(directory) else None


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


def _download(model: str, revision: str | None) -> Path:
    from huggingface_hub import HfApi, snapshot_download

    # One request first: without a network it fails at once, where snapshot_download of a commit
    # tries for 23 seconds. It also tells which weights there are.
    info = HfApi().model_info(model, revision=revision, timeout=_TIMEOUT)
    names = [sibling.rfilename for sibling in info.siblings or ()]
    is_safe = not {"model.safetensors", "model.safetensors.index.json"}.isdisjoint(names)
    patterns = _SAFETENSORS_PATTERNS if is_safe else _BIN_PATTERNS
    return Path(snapshot_download(model, revision=revision, allow_patterns=list(patterns)))


def _explain(model: str, revision: str | None, reason: Exception, known: tuple[str, ...]) -> str:
    from huggingface_hub import errors

    meant = nearest(model, known)
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
    said = one_line(reason) or "no reason given"
    return (
        f"The model {model} is no directory here and cannot be fetched from the Hugging Face hub "
        f"({type(reason).__name__}: {said}): download it where there is a network with "
        f"`hf download {model}{option}`, or give --model a directory, or --model demo to try the "
        f"pipeline with random weights.{spelling}"
    )
