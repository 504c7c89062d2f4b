"""What an output says it was made with, for those who read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transforms import storage
from transforms.commits import COMMITS, read_configuration
from transforms.errors import ConfigurationError
from transforms.residues import ResiduePolicy

_KEYS = ("input_root", "model", "revision", "fingerprint", "dim", "dtype", "residues",
         "long_sequences", "truncation_seq_length", "pt", "pt_order")  # fmt: skip

_NUMBERS = ("dim", "truncation_seq_length")


def read_bound(root: str) -> dict[str, Any]:
    """Returns what an output is bound to, whatever that is.

    Raises:
        ConfigurationError: It is no output, or cannot be read.
    """
    try:
        configuration = read_configuration(root)
        if configuration is None:
            for folder in (root, storage.join(root, COMMITS)):
                storage.list_names(folder)  # nothing is seen in what may not be looked into
    except OSError as error:
        raise not_readable(root, error) from error
    if configuration is None:
        raise no_output(root)
    return configuration


def no_output(root: str) -> ConfigurationError:
    """Returns what is said of a folder that no run has made."""
    return ConfigurationError(
        f"{root} is not an output: it has no commits/output.json. Give the --output of a run."
    )


def not_readable(root: str, error: OSError) -> ConfigurationError:
    """Returns what is said of an output that cannot be read."""
    return ConfigurationError(
        f"{root} cannot be read ({error}). Ask as a user who may read all of it, or see that its "
        "disk or server answers."
    )


def read_recorded(root: str) -> dict[str, Any]:
    """Returns what all rows of an output were computed with.

    Raises:
        ConfigurationError: It is no output, cannot be read, or does not tell.
    """
    configuration = read_bound(root)
    held = configuration if isinstance(configuration, Mapping) else {}
    missing = [key for key in _KEYS if key not in held]
    missing += [key for key in _NUMBERS if not isinstance(held.get(key), int)]
    if missing:
        raise ConfigurationError(
            f"{root} does not tell what it was made with ({', '.join(missing)}): "
            "commits/output.json is damaged, or of another version of this program. Put it back "
            "from a copy, or use that version."
        )
    return configuration


def policy_of(configuration: Mapping[str, Any]) -> ResiduePolicy:
    """Returns what was made of the sequences of an output, by what it is bound to."""
    return ResiduePolicy(
        configuration["residues"],
        configuration["long_sequences"],
        configuration["truncation_seq_length"],
    )
