"""The rows of committed parts, block by block, so that any number of them takes little memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from transforms.output.commits import PartRecord
from transforms.output.committed import open_rows
from transforms.output.parquet import iterate_columns


def read_blocks(root: str, part: PartRecord, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yields the rows of a part in their order, in blocks of at most as many as a row group has.

    Args:
        root: The output root.
        part: The part; one without rows has no block.
        columns: What is wanted of each row; nothing else is read.

    Raises:
        ConfigurationError: Its file is damaged.
        OSError: It cannot be read; FileNotFoundError where another part has replaced it meanwhile.
    """
    if part.embeddings:
        with open_rows(root, part.embeddings) as file:
            yield from iterate_columns(file, columns)
