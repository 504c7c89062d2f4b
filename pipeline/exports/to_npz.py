"""NumPy's .npz: the vectors as one array, and arrays that name its rows.

``embeddings`` (n, D) float32, ``ids`` (n,) the keys, ``sources`` (n,) and ``ordinals`` (n,) int64:
file and place in it, and ``provenance``, JSON. Written array by array, part by part, without a
pickle, so ``np.load`` reads it as it is.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from pipeline.exports.source import Source
from transforms.errors import ConfigurationError

Array = np.ndarray[Any, np.dtype[Any]]

_MOST_BYTES_OF_TEXT = 4 << 30
_CHARACTER_BYTES = 4
_PIECE_BYTES = 8 << 20


def write(path: str, source: Source) -> None:
    """Writes the rows of an output to a file."""
    rows = source.rows
    ids = _text_type(source.read_keys(), rows, "ids")
    sources = _text_type(_read_sources(source), rows, "names of input files")
    provenance = np.array(json.dumps(source.describe()))
    ordinals = (table.column(0).to_numpy() for table in source.read_columns(["ordinal"]))
    with zipfile.ZipFile(path, "w") as archive:
        _add(archive, "ids", ids, (rows,), _arrays(source.read_keys(), ids))
        _add(archive, "sources", sources, (rows,), _arrays(_read_sources(source), sources))
        _add(archive, "ordinals", np.dtype("<i8"), (rows,), ordinals)
        _add(archive, "provenance", provenance.dtype, (), [provenance])
        _add(archive, "embeddings", np.dtype("<f4"), (rows, source.dim), source.read_vectors())


def count(path: str) -> int:
    """Returns how many vectors a file holds."""
    with zipfile.ZipFile(path) as archive, archive.open("embeddings.npy") as handle:
        np.lib.format.read_magic(handle)
        (_, dim), _, dtype = np.lib.format.read_array_header_1_0(handle)
        size = sum(map(len, iter(lambda: handle.read(1 << 20), b"")))
    return int(size // (dim * dtype.itemsize))


def _read_sources(source: Source) -> Iterator[list[str]]:
    return (table.column(0).to_pylist() for table in source.read_columns(["source"]))


def _arrays(texts: Iterable[list[str]], dtype: np.dtype[Any]) -> Iterator[Array]:
    """Returns texts as arrays of some megabytes, however long the longest is."""
    step = max(1, _PIECE_BYTES // dtype.itemsize)
    for some in texts:
        for start in range(0, len(some), step):
            yield np.array(some[start : start + step], dtype)


def _text_type(texts: Iterable[list[str]], rows: int, what: str) -> np.dtype[Any]:
    """Returns the type of an array of texts, each of which takes the room of the longest.

    Raises:
        ConfigurationError: That is too much.
    """
    longest = max((max(map(len, some)) for some in texts if some), default=0)
    if (size := rows * longest * _CHARACTER_BYTES) > _MOST_BYTES_OF_TEXT:
        raise ConfigurationError(
            f"An .npz holds each of the {what} at the length of the longest, {longest:,} "
            f"characters: {size / 1e9:,.1f} GB for {rows:,} rows. Give --key source_ordinal or "
            "accession, or another --to."
        )
    return np.dtype(f"<U{max(longest, 1)}")


def _add(
    archive: zipfile.ZipFile,
    name: str,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    pieces: Iterable[Array],
) -> None:
    """Adds an array that comes piece by piece."""
    entry = zipfile.ZipInfo(f"{name}.npy")  # of 1980, so that equal rows make equal files
    if dtype.kind == "U":
        entry.compress_type = zipfile.ZIP_DEFLATED
    header = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": shape,
    }
    with archive.open(entry, "w", force_zip64=True) as handle:
        np.lib.format.write_array_header_1_0(handle, header)
        for piece in pieces:
            handle.write(np.ascontiguousarray(piece, dtype).tobytes())
