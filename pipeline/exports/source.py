"""The rows of an output as an export reads them: part by part, in a fixed order, and counted.

Memory holds the rows of one part. Only what counts by ``commits/`` is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

import pipeline
from pipeline.exports.formats import KEYS
from pipeline.file_states import FAILED, UNFINISHED, find_states
from pipeline.recorded import describe_vectors, read_bound
from transforms import storage
from transforms.arrays import Vectors
from transforms.errors import AccountingError, ConfigurationError
from transforms.messages import has_messages
from transforms.output.commits import PartRecord, read_commits
from transforms.output.committed import read_all_rows, read_row_columns
from transforms.output.parquet import GROUP_ROWS, to_matrix


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Some rows, at most 4,096.

    Attributes:
        keys: What names each of n rows.
        table: All other columns, as in the Parquet.
        vectors: float32 array of shape (n, D).
    """

    keys: list[str]
    table: pa.Table
    vectors: Vectors


@dataclass(frozen=True, slots=True)
class Source:
    """The rows of an output.

    Attributes:
        root: The output root.
        configuration: What its rows are computed with.
        parts: The parts that have rows, in order of the first row of each; within a part rows
            lie by file and place in it.
        dead_letters: How many records failed, and so are not among the rows.
        failed_files: How many files could not be read to their end, of which there is no row.
        unfinished: Files of which not everything is committed yet.
        key: What names a row, one of :data:`~pipeline.exports.formats.KEYS`.
        slash: What stands in a key in place of ``/``; None for ``/`` itself.
    """

    root: str
    configuration: Mapping[str, Any]
    parts: tuple[PartRecord, ...]
    dead_letters: int = 0
    failed_files: int = 0
    unfinished: int = 0
    key: str = "id"
    slash: str | None = None

    @property
    def rows(self) -> int:
        """Returns how many rows are committed."""
        return sum(part.rows for part in self.parts)

    @property
    def dim(self) -> int:
        """Returns the width of the vectors."""
        return int(self.configuration["dim"])

    @property
    def model(self) -> str:
        """Returns the model as the user named it."""
        return str(self.configuration["model"])

    def describe(self) -> dict[str, Any]:
        """Returns model, pooling, policies and counts, as strings and numbers."""
        return {
            **describe_vectors(self.configuration),
            "rows": self.rows,
            "key": self.key,
            "made_with": f"fastesm-beam {pipeline.__version__}",
        }

    def read_columns(self, names: Sequence[str]) -> Iterator[pa.Table]:
        """Yields some columns of the rows, part by part; vectors are not fetched for it.

        Raises:
            AccountingError: A part holds more or fewer rows than were committed.
            ConfigurationError: One is damaged.
            OSError: One cannot be read.
        """
        for part in self.parts:
            assert part.embeddings is not None
            table = read_row_columns(self.root, part.embeddings, names)
            _check_count(part, len(table))
            yield table.select(list(names))

    def read_keys(self) -> Iterator[list[str]]:
        """Yields what names the rows, part by part."""
        return map(self._keys_of, self.read_columns(KEYS[self.key]))

    def read_tables(self) -> Iterator[pa.Table]:
        """Yields all rows, part by part; raises what :meth:`read_columns` does."""
        for part in self.parts:
            assert part.embeddings is not None
            rows = read_all_rows(self.root, part.embeddings)
            _check_count(part, len(rows))
            yield rows
            del rows  # before there are those of the next part

    def read_blocks(self) -> Iterator[Block]:
        """Yields all rows with their vectors; raises what :meth:`read_columns` does."""
        for rows in self.read_tables():
            for start in range(0, len(rows), GROUP_ROWS):
                table = rows.slice(start, GROUP_ROWS)
                vectors = to_matrix(table.column("embedding"))
                # Without the column whoever holds a block does not hold the part.
                yield Block(self._keys_of(table), table.drop_columns(["embedding"]), vectors)
            del rows, table

    def read_vectors(self) -> Iterator[Vectors]:
        """Yields the vectors of all rows, as float32 of shape (n, D)."""
        for block in self.read_blocks():
            yield block.vectors

    def _keys_of(self, table: pa.Table) -> list[str]:
        first, *rest = (table.column(name).to_pylist() for name in KEYS[self.key])
        if self.key == "accession":
            first = [found or name for found, name in zip(first, rest[0], strict=True)]
        elif self.key == "source_ordinal":
            first = [f"{name}:{ordinal}" for name, ordinal in zip(first, rest[0], strict=True)]
        return first if self.slash is None else [key.replace("/", self.slash) for key in first]


def open_source(output: str, key: str = "id", slash: str | None = None) -> Source:
    """Finds the rows of an output.

    Args:
        output: The output root.
        key: What names a row, one of :data:`~pipeline.exports.formats.KEYS`.
        slash: What stands in a key in place of ``/``; None for ``/`` itself.

    Raises:
        ConfigurationError: There is no output, it has no rows, or a part is damaged.
        OSError: A file cannot be read.
    """
    root = storage.absolute(output)
    configuration = read_bound(root)
    committed = read_commits(root)
    parts = committed.parts_with_rows()
    if not parts:
        raise ConfigurationError(
            f"{root} holds no embedded record. python -m pipeline.status tells what it holds."
        )
    files = find_states(committed)
    statuses = Counter(file.status for file in files)
    return Source(
        root=root,
        configuration=configuration,
        parts=tuple(sorted(parts, key=lambda part: _first_row(root, part))),
        dead_letters=sum(file.dead_letters for file in files),
        failed_files=statuses[FAILED],
        # Messages are no files, and each is finished by itself.
        unfinished=0 if has_messages(configuration) else statuses[UNFINISHED],
        key=key,
        slash=slash,
    )


def _first_row(root: str, part: PartRecord) -> tuple[str, int]:
    assert part.embeddings is not None
    table = read_row_columns(root, part.embeddings, ["source", "ordinal"]).slice(0, 1)
    return next(iter(zip(*(column.to_pylist() for column in table.columns), strict=True)), ("", 0))


def _check_count(part: PartRecord, found: int) -> None:
    if found != part.rows:
        raise AccountingError(
            f"{part.part} was committed with {part.rows:,} rows and holds {found:,}. "
            "python -m pipeline.verify tells what is wrong."
        )
