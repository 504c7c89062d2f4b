"""What an output says it was made with, for those who read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transforms.configuration import read_configuration
from transforms.errors import ConfigurationError

_KEYS = ("input_root", "model", "revision", "fingerprint", "dim", "dtype", "residues",
         "long_sequences", "truncation_seq_length", "pt", "pt_order")  # fmt: skip

_NUMBERS = ("dim", "truncation_seq_length")


def read_bound(root: str) -> dict[str, Any]:
    """Returns what an output is bound to, whatever that is.

    Raises:
        ConfigurationError: It is no output.
        OSError: It cannot be read.
    """
    configuration = read_configuration(root)
    if configuration is None:
        raise ConfigurationError(f"{root} is not an output: it has no commits/output.json.")
    return configuration


def read_recorded(root: str) -> dict[str, Any]:
    """Returns what all rows of an output were computed with.

    Raises:
        ConfigurationError: It is no output, or does not tell.
        OSError: It cannot be read.
    """
    configuration = read_bound(root)
    held = configuration if isinstance(configuration, Mapping) else {}
    missing = [key for key in _KEYS if key not in held]
    missing += [key for key in _NUMBERS if not isinstance(held.get(key), int)]
    if missing:
        raise ConfigurationError(
            f"{root} does not tell what it was made with ({', '.join(missing)}): "
            "commits/output.json is damaged, or of another version of this program."
        )
    return configuration
