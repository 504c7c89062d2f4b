"""The Parquet of a part: schema and writer settings.

One row per embedded record. The vector is a fixed-size list of non-null float32, the one type
that Polars, Hugging Face datasets, LanceDB and PyArrow read as a vector and every other engine
as a list. PLAIN with zstd level 1: mantissas hardly compress, and byte-stream-split keeps Spark
before 4.3 out. Statistics and Bloom filters help look-ups by id; on the vector they help nobody.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from transforms.accession import find_accession
from transforms.arrays import Vectors
from transforms.items import Protein
from transforms.output.commits import Output

GROUP_ROWS = 4096
"""Rows of a row group of a large part: about 19 MiB at 1280 dimensions."""


def make_schema(
    dim: int, metadata: dict[str, Any] | None = None, of_messages: bool = False
) -> pa.Schema:
    """Returns the schema of rows with vectors of width ``dim``.

    Made where it is used: pickling a fixed-size list type loses its child field.

    Args:
        dim: Width of the vectors.
        metadata: Written as JSON under the key ``esm_embed``.
        of_messages: Whether each row says of which message it is. An output has only the one kind
            of rows or only the other, so that the schema of its parts is the same.
    """
    element = pa.field("element", pa.float32(), nullable=False)
    message = [
        pa.field("message_id", pa.string()),
        pa.field("publish_time", pa.timestamp("us", tz="UTC")),
        pa.field("attributes", pa.string()),
    ]
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("accession", pa.string()),
            pa.field("description", pa.string()),
            pa.field("sequence_length", pa.int32(), nullable=False),
            pa.field("residues_used", pa.int32(), nullable=False),
            pa.field("truncated", pa.bool_(), nullable=False),
            pa.field("residue_changes", pa.string()),
            pa.field("sequence_sha256", pa.string(), nullable=False),
            pa.field("source", pa.string(), nullable=False),
            pa.field("ordinal", pa.int64(), nullable=False),
            pa.field("model_id", pa.string(), nullable=False),
            pa.field("model_revision", pa.string(), nullable=False),
            *(message if of_messages else ()),
            pa.field("embedding", pa.list_(element, dim), nullable=False),
        ],
        metadata={b"esm_embed": json.dumps(metadata or {}).encode()},
    )


def encode_rows(proteins: Sequence[Protein], vectors: Vectors, output: Output) -> bytes:
    """Returns the Parquet file of some embedded records.

    Args:
        proteins: n proteins.
        vectors: float32 array of shape (n, D).
        output: Names the model in the rows and the configuration in the footer.
    """
    dim = vectors.shape[1]
    schema = make_schema(dim, dict(output.configuration), output.of_messages)
    flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1))
    columns: dict[str, Any] = {
        "id": [p.id for p in proteins],
        "accession": [find_accession(p.id) for p in proteins],
        "description": [p.description or None for p in proteins],
        "sequence_length": [len(p.sequence) for p in proteins],
        "residues_used": [p.residues_used for p in proteins],
        "truncated": [p.residues_used < len(p.sequence) for p in proteins],
        "residue_changes": [p.changes or None for p in proteins],
        "sequence_sha256": [p.sequence_sha256 for p in proteins],
        "source": [p.source for p in proteins],
        "ordinal": [p.ordinal for p in proteins],
        "model_id": [output.model] * len(proteins),
        "model_revision": [output.revision] * len(proteins),
        "embedding": pa.FixedSizeListArray.from_arrays(flat, type=schema.field("embedding").type),
    }
    if output.of_messages:
        columns |= {
            "message_id": [p.message_id for p in proteins],
            "publish_time": [datetime.fromisoformat(p.publish_time) for p in proteins],
            "attributes": [p.attributes or None for p in proteins],
        }
    arrays = [
        pa.array(columns[field.name], field.type)
        if field.name != "embedding"
        else columns["embedding"]
        for field in schema
    ]
    return encode_table(pa.Table.from_arrays(arrays, schema=schema))


def encode_table(table: pa.Table) -> bytes:
    """Returns the Parquet file of a table with the schema of :func:`make_schema`."""
    # One part is one row group, unless it was merged of several.
    size = len(table) if len(table) < 2 * GROUP_ROWS else GROUP_ROWS
    groups = (table.slice(start, size) for start in range(0, len(table), max(size, 1)))
    return encode_groups(table.schema, groups, size)


def encode_groups(schema: pa.Schema, groups: Iterable[pa.Table], rows: int) -> bytes:
    """Returns the Parquet file of some tables, each of which becomes a row group.

    Args:
        schema: The one of :func:`make_schema`.
        groups: The tables.
        rows: How many rows the largest of them has.
    """
    buffer = io.BytesIO()
    blooms = {name: {"ndv": rows, "fpp": 0.01} for name in ("id", "sequence_sha256")}
    with pq.ParquetWriter(
        buffer,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=["source", "model_id", "model_revision"],
        write_statistics=[name for name in schema.names if name != "embedding"],
        bloom_filter_options=blooms,
    ) as writer:
        for group in groups:
            writer.write_table(group, len(group))
    return buffer.getvalue()


def read_table(data: bytes) -> pa.Table:
    """Returns a part's Parquet file as it was given to :func:`encode_table`."""
    return pq.read_table(pa.BufferReader(data))


def read_columns(data: bytes | io.RawIOBase, columns: Sequence[str]) -> pa.Table:
    """Returns some columns of a part's Parquet file; of one that is open no others are read."""
    source = pa.BufferReader(data) if isinstance(data, bytes) else pa.PythonFile(data, mode="r")
    return pq.read_table(source, columns=list(columns))


def iterate_columns(file: io.RawIOBase, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yields some columns of a part's Parquet file that is open, :data:`GROUP_ROWS` rows at a time.

    What is held is a row group as it lies in the file, which has less than twice as many rows,
    and the rows that are yielded.
    """
    opened = pq.ParquetFile(pa.PythonFile(file, mode="r"))
    yield from opened.iter_batches(GROUP_ROWS, columns=list(columns))


def to_matrix(column: pa.ChunkedArray) -> Vectors:
    """Returns the embedding column as a float32 array of shape (n, D)."""
    dim = column.type.list_size
    chunks = [chunk.flatten().to_numpy() for chunk in column.chunks]
    return np.concatenate(chunks).reshape(-1, dim) if chunks else np.zeros((0, dim), np.float32)
