"""A Lance dataset, a folder that LanceDB, DuckDB and PyTorch read, with all columns."""

from __future__ import annotations

import json
from collections.abc import Iterator

import lance
import pyarrow as pa

from pipeline.exports.source import Source
from transforms.messages import has_messages
from transforms.output.parquet import GROUP_ROWS, make_schema


def write(path: str, source: Source) -> None:
    """Writes the rows of an output to a folder."""
    metadata = {"provenance": json.dumps(source.describe())}
    of_messages = has_messages(source.configuration)
    schema = make_schema(source.dim, of_messages=of_messages).with_metadata(metadata)
    batches = _read_batches(source, schema)
    lance.write_dataset(pa.RecordBatchReader.from_batches(schema, batches), path)


def _read_batches(source: Source, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for table in source.read_tables():
        yield from table.cast(schema).to_batches(GROUP_ROWS)
        del table  # before that of the next part is read


def count(path: str) -> int:
    """Returns how many rows a dataset holds."""
    return int(lance.dataset(path).count_rows())
