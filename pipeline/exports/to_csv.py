"""CSV: a header, and a line for each row with what names it, its length and its D values.

A value is written with the fewest digits that give the same float32 again. Text is quoted; what
is null is empty and not quoted.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv

from pipeline.exports.source import Source

_BLOCK_BYTES = 64 << 20  # a row has to fit in

COLUMNS = (
    "id", "accession", "description", "source", "ordinal", "sequence_length", "truncated",
    "sequence_sha256",
)  # fmt: skip
"""Those before the values, ``e0`` to ``e<D-1>``."""


def write(path: str, source: Source) -> None:
    """Writes the rows of an output to a file."""
    types = {"ordinal": pa.int64(), "sequence_length": pa.int32(), "truncated": pa.bool_()}
    schema = pa.schema(
        [
            *((name, types.get(name, pa.string())) for name in COLUMNS),
            *((f"e{i}", pa.float32()) for i in range(source.dim)),
        ]
    )
    with csv.CSVWriter(path, schema) as writer:
        for block in source.read_blocks():
            named = [block.table.column(name) for name in COLUMNS]
            values = [pa.array(column) for column in np.ascontiguousarray(block.vectors.T)]
            writer.write_table(pa.Table.from_arrays([*named, *values], schema=schema))


def count(path: str) -> int:
    """Returns how many rows a file holds."""
    rows = csv.open_csv(
        path,
        csv.ReadOptions(block_size=_BLOCK_BYTES),
        csv.ParseOptions(newlines_in_values=True),
        csv.ConvertOptions(include_columns=["ordinal"]),
    )
    return sum(len(batch) for batch in rows)
