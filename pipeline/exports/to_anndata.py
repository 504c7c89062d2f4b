"""AnnData, as scanpy reads it: ``X`` (n, D) float32, columns in ``obs``, provenance in ``uns``.

``obs`` is written by anndata, which holds it in memory: some hundred bytes a row. The vectors are
added to its file part by part, as the array that anndata's format says they are.
"""

from __future__ import annotations

import anndata
import h5py
import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.exports.source import Source
from transforms.messages import has_messages
from transforms.output.parquet import make_schema

_NOT_OF_ROWS = ("embedding", "model_id", "model_revision")  # the model is in `uns`
_ARRAY = {"encoding-type": "array", "encoding-version": "0.2.0"}


def write(path: str, source: Source) -> None:
    """Writes the rows of an output to an .h5ad file."""
    keys = [key for some in source.read_keys() for key in some]
    names = [f"e{i}" for i in range(source.dim)]
    anndata.AnnData(
        obs=_make_obs(source, keys),
        var=pd.DataFrame(index=pd.Index(names, dtype=object)),
        uns={"provenance": source.describe()},
    ).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        if "X" in file:
            del file["X"]
        matrix = file.create_dataset("X", (source.rows, source.dim), np.float32)
        matrix.attrs.update(_ARRAY)
        done = 0
        for vectors in source.read_vectors():
            matrix[done : done + len(vectors)] = vectors
            done += len(vectors)


def count(path: str) -> int:
    """Returns how many rows a file holds."""
    opened = anndata.read_h5ad(path, backed="r")
    try:
        return int(opened.n_obs)
    finally:
        opened.file.close()


def _make_obs(source: Source, keys: list[str]) -> pd.DataFrame:
    schema = make_schema(source.dim, of_messages=has_messages(source.configuration))
    fields = [field for field in schema if field.name not in _NOT_OF_ROWS]
    table = pa.concat_tables(source.read_columns([field.name for field in fields]))
    columns = {}
    for field in fields:
        column = table.column(field.name)
        if pa.types.is_timestamp(field.type):
            column = column.cast(pa.string())
        values = column.to_pandas()
        # The one type of text of which h5ad can say that there is none.
        columns[field.name] = pd.Categorical(values) if field.nullable else values.to_numpy()
    return pd.DataFrame(columns, index=pd.Index(keys, dtype=object))
