"""Records of plain values, one to a JSON file."""

from __future__ import annotations

import json
from typing import Any

from transforms import storage
from transforms.errors import ConfigurationError


def read_json(url: str) -> dict[str, Any]:
    """Returns what a record holds.

    Raises:
        ConfigurationError: It is damaged.
    """
    try:
        content: dict[str, Any] = json.loads(storage.read_bytes(url))
    except ValueError as error:
        raise ConfigurationError(
            f"{url} is damaged. Put it back from a copy, or give another --output."
        ) from error
    return content


def write_json(root: str, name: str, content: object) -> None:
    """Writes a record of plain values and dataclasses with slots."""
    data = json.dumps(content, default=_fields).encode()
    storage.publish(root, name, lambda handle: handle.write(data))


def _fields(record: Any) -> dict[str, Any]:
    """Returns the fields of a dataclass as they are; `dataclasses.asdict` copies what they hold."""
    return {name: getattr(record, name) for name in record.__slots__}
