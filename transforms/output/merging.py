"""Merging parts: one that holds all that several small ones did.

The same protocol as in ``removal.py``: the data files of the new part first, then its commit
record, which names those that it replaces and is the moment from which it counts, and last the old
ones go. Memory holds the rows of one new part, and its file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms import storage
from transforms.arrays import Integers, Vectors
from transforms.dead_letters import address, encode_dead_letters
from transforms.errors import ConfigurationError
from transforms.items import DeadLetter
from transforms.output.commits import (
    COMMITS,
    DEAD_LETTERS,
    EMBEDDINGS,
    PartRecord,
    PartSource,
    write_part_record,
)
from transforms.output.committed import read_all_dead_letters, read_all_rows
from transforms.output.holders import PARTS
from transforms.output.locks import check_held
from transforms.output.parquet import GROUP_ROWS, encode_groups, to_matrix
from transforms.output.parts import publish_data
from transforms.output.sweeping import delete_replaced


@dataclass
class _Content:
    """What several parts hold.

    Attributes:
        parts: The parts.
        schema: That of their rows; None without rows.
        tables: All columns but the vectors, part by part.
        vectors: The vectors, in the same order.
        letters: The dead letters, part by part.
    """

    parts: list[PartRecord] = field(default_factory=list)
    schema: pa.Schema | None = None
    tables: list[pa.Table] = field(default_factory=list)
    vectors: list[Vectors] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)


def merge_parts(
    root: str, holder: str, name: str, run: str, parts: Sequence[PartRecord]
) -> list[PartRecord]:
    """Writes one part in place of several, and deletes those.

    Rows of another footer, which names the model otherwise, cannot lie in one file: parts that
    differ in it from the first one stay.

    Args:
        root: The output root, the parts of which are held.
        holder: Name under which they are; see :func:`transforms.output.locks.hold_parts`.
        name: Name of the new part.
        run: The run that its rows count as those of.
        parts: The old ones, the oldest first; of each input file they hold one version.

    Returns:
        The parts that were merged; none if all but one would have stayed.

    Raises:
        ConfigurationError: One is damaged; nothing was changed.
        LostError: The parts are held by another one by now.
        OSError: A file cannot be read or written.
    """
    content = _read(root, parts)
    if len(content.parts) < 2:
        return []
    record = PartRecord(
        part=name,
        run=run,
        embeddings=publish_data(root, EMBEDDINGS, name, _encode_rows(content)),
        dead_letters=publish_data(root, DEAD_LETTERS, name, _encode_letters(content.letters)),
        time=max(part.time for part in content.parts),
        sources=_add_up(content.parts),
        # Also those before: finished files name the parts in which their records once lay.
        replaces=tuple(
            dict.fromkeys(old for part in content.parts for old in (part.part, *part.replaces))
        ),
    )
    check_held(root, holder, PARTS)
    write_part_record(root, record)
    delete_replaced(root, content.parts)
    return content.parts


def _read(root: str, parts: Iterable[PartRecord]) -> _Content:
    """Reads parts, but for those whose footer differs from that of the first."""
    content = _Content()
    for part in parts:
        if part.embeddings:
            table = read_all_rows(root, part.embeddings)
            _check_count(root, part, len(table), part.rows)
            content.schema = content.schema or table.schema
            if not table.schema.equals(content.schema, check_metadata=True):
                continue
            content.vectors.append(to_matrix(table.column("embedding")))
            content.tables.append(table.drop_columns(["embedding"]))
        if part.dead_letters:
            letters = read_all_dead_letters(root, part.dead_letters)
            records = sum(letter.ordinal is not None for letter in letters)
            _check_count(root, part, records, sum(h.dead_letters for h in part.sources.values()))
            content.letters += letters
        content.parts.append(part)
    return content


def _check_count(root: str, part: PartRecord, found: int, committed: int) -> None:
    if found != committed:
        raise ConfigurationError(
            f"{storage.join(root, COMMITS, part.part)}.json counts {committed:,} records where its "
            f"data holds {found:,}. Run python -m pipeline.verify, and put back from a copy what "
            "it names."
        )


def _encode_rows(content: _Content) -> bytes | None:
    if content.schema is None:
        return None
    columns = pa.concat_tables(content.tables).combine_chunks()
    keys = [("source", "ascending"), ("ordinal", "ascending")]
    order = pc.sort_indices(columns, sort_keys=keys).to_numpy()
    groups = _row_groups(content.schema, columns, content.vectors, order)
    return encode_groups(content.schema, groups, min(len(order), GROUP_ROWS))


def _row_groups(
    schema: pa.Schema, columns: pa.Table, vectors: Sequence[Vectors], order: Integers
) -> Iterator[pa.Table]:
    """Yields the rows in an order, so many at a time as are a row group."""
    starts = np.cumsum([0, *map(len, vectors)])
    for start in range(0, len(order), GROUP_ROWS):
        at = order[start : start + GROUP_ROWS].astype(np.int64)
        block = np.empty((len(at), vectors[0].shape[1]), np.float32)
        of_part = np.searchsorted(starts, at, side="right") - 1
        for part in np.unique(of_part):
            here = of_part == part
            block[here] = vectors[part][at[here] - starts[part]]
        vector = schema.field("embedding")
        embedding = pa.FixedSizeListArray.from_arrays(pa.array(block.reshape(-1)), type=vector.type)
        # The last column of all.
        yield pa.Table.from_arrays([*columns.take(at).columns, embedding], schema=schema)


def _encode_letters(letters: Sequence[DeadLetter]) -> bytes | None:
    if not letters:
        return None
    # Of several failures of one file the later one stays the later one.
    return encode_dead_letters(sorted(letters, key=address))


def _add_up(parts: Iterable[PartRecord]) -> dict[str, PartSource]:
    """Returns what parts hold of each file, all together."""
    sources: dict[str, PartSource] = {}
    for part in parts:
        for source, held in part.sources.items():
            before = sources.get(source, PartSource(held.sha256, 0, 0))
            sources[source] = PartSource(
                held.sha256,
                before.rows + held.rows,
                before.dead_letters + held.dead_letters,
                before.failed or held.failed,
            )
    return dict(sorted(sources.items()))
