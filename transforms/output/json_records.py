"""Records of plain values, one to a JSON file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

from transforms import storage
from transforms.errors import damaged

Record = TypeVar("Record")


def read_json(url: str, make: Callable[[Any], Record]) -> Record:
    """Returns what a record holds.

    Args:
        url: Where it is.
        make: Makes it of the plain values that the file holds.

    Raises:
        ConfigurationError: It is damaged, or of a newer version that writes other fields.
    """
    data = storage.read_bytes(url)
    try:
        content = json.loads(data)
    except ValueError as error:
        raise damaged(url) from error
    try:
        return make(content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(url, or_newer=True) from error


def write_json(root: str, name: str, content: object) -> None:
    """Writes a record of plain values and dataclasses."""
    data = json.dumps(content, default=_fields).encode()
    storage.publish(root, name, lambda handle: handle.write(data))


def _fields(record: Any) -> dict[str, Any]:
    """Returns the fields of a dataclass as they are; `dataclasses.asdict` copies what they hold."""
    return {field.name: getattr(record, field.name) for field in fields(record)}
