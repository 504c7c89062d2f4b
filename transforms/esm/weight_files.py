"""The files with the weights of a checkpoint: which they are, and whether they are the same."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

from transforms.esm.architecture import unusable

# The names that transformers looks for, in its order: one file, or the index of several.
_WEIGHTS = (
    ("model.safetensors", "model.safetensors.index.json"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json"),
)


def find_weight_files(directory: Path) -> list[Path]:
    """Returns the files that transformers will load, or nothing if they are not all there."""
    for single, index in _WEIGHTS:
        if (directory / single).is_file():
            return [directory / single]
        if (directory / index).is_file():
            try:
                shards = json.loads((directory / index).read_bytes())["weight_map"].values()
            except (ValueError, KeyError, AttributeError, TypeError):
                raise unusable(directory, f"has a damaged {index}") from None
            files = [directory / shard for shard in sorted(set(shards))]
            return files if all(file.is_file() for file in files) else []
    return []


def make_fingerprint(directory: Path, config: dict[str, Any]) -> str:
    """Returns a SHA-256 over an architecture and the weights that go with it.

    Raises:
        ConfigurationError: The weights are not there, or not all of them.
    """
    files = find_weight_files(directory)
    if not files:
        names = " or ".join(single for single, _ in _WEIGHTS)
        raise unusable(directory, f"has no complete weights ({names})")
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
