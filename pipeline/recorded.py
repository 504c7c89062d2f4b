"""What an output says it was made with, for those who read it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from transforms import storage
from transforms.errors import ConfigurationError
from transforms.output.commits import COMMITS
from transforms.output.configuration import has_configuration, read_configuration
from transforms.residues import ResiduePolicy

_KEYS = ("input_root", "model", "revision", "fingerprint", "dim", "dtype", "residues",
         "long_sequences", "truncation_seq_length", "pt", "pt_order")  # fmt: skip

_OF_VECTORS = ("model", "revision", "fingerprint", "dim", "layers", "pooling", "dtype", "residues",
               "long_sequences", "truncation_seq_length")  # fmt: skip

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
    """Returns what refuses a folder in which no run has begun, with the fix."""
    if not storage.exists(root) and not storage.is_directory(root):
        return ConfigurationError(
            f"{root} is not an output: there is nothing of that name. Give the --output of a run."
        )
    for parent in PurePath(root).parents if storage.is_local(root) else ():
        if has_configuration(str(parent)):
            return ConfigurationError(f"{root} is not an output, but lies in one. Give {parent}.")
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


def describe_vectors(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a reader of vectors asks; paths of the machine that made them are not in it."""
    told = {name: configuration.get(name) for name in _OF_VECTORS}
    return {name: value for name, value in told.items() if value not in (None, "")}


def policy_of(configuration: Mapping[str, Any]) -> ResiduePolicy:
    """Returns what was made of the sequences of an output, by what it is bound to."""
    return ResiduePolicy(
        configuration["residues"],
        configuration["long_sequences"],
        configuration["truncation_seq_length"],
    )
