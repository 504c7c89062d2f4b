"""A Hugging Face dataset: a folder with the rows as Parquet and a card, ``README.md``.

The Parquet is that of the parts, a file for each, so ``load_dataset`` reads it as it is, and the
folder can be uploaded as it is.
"""

from __future__ import annotations

from pipeline.exports.card import make_card
from pipeline.exports.source import Source
from transforms import storage
from transforms.output.parquet import encode_table, read_columns

_DATA = "data"


def write(path: str, source: Source, license_id: str | None = None) -> None:
    """Writes the rows of an output to a folder."""
    storage.check_writable(path)
    for number, rows in enumerate(source.read_tables()):
        name = f"train-{number:05}-of-{len(source.parts):05}.parquet"
        _publish(path, f"{_DATA}/{name}", encode_table(rows))
        del rows  # before those of the next part are read
    _publish(path, "README.md", make_card(source, license_id).encode())
    storage.delete(storage.join(path, storage.STAGING))


def _publish(path: str, name: str, data: bytes) -> None:
    storage.publish(path, name, lambda handle: handle.write(data))


def count(path: str) -> int:
    """Returns how many rows a folder holds."""
    folder = storage.join(path, _DATA)
    return sum(
        len(read_columns(storage.read_bytes(storage.join(folder, name)), ["ordinal"]))
        for name in storage.list_names(folder)
    )
