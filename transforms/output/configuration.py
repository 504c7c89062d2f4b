"""What an output is bound to: what all of its rows are computed with, and in what format it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transforms import storage
from transforms.errors import ConfigurationError
from transforms.output.commits import COMMITS
from transforms.output.json_records import read_json, write_json

FORMAT = 1
"""Of what lies in an output; to be raised when older versions would misread it."""

_CONFIGURATION = f"{COMMITS}/output.json"


def write_configuration(root: str, configuration: Mapping[str, Any]) -> None:
    """Binds an output to what its rows are computed with."""
    write_json(root, _CONFIGURATION, configuration)


def read_configuration(root: str) -> dict[str, Any] | None:
    """Returns what an output is bound to; None for a new one.

    Raises:
        ConfigurationError: It is damaged, or the output is of another format.
    """
    if not has_configuration(root):
        return None
    configuration = read_json(storage.join(root, _CONFIGURATION), lambda content: {**content})
    if (found := configuration.get("format", FORMAT)) != FORMAT:
        raise ConfigurationError(
            f"{root} was made by another version of this program (format {found}; this one knows "
            f"{FORMAT}). Use that version, or give another --output."
        )
    return configuration


def has_configuration(root: str) -> bool:
    """Tells whether an output is there and bound."""
    return storage.exists(storage.join(root, _CONFIGURATION))
