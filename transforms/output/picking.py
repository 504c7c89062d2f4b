"""Single rows of committed parts: found by id, and read."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.arrays import Integers
from transforms.output.blocks import read_blocks
from transforms.output.commits import PartRecord


def find_rows(
    root: str, parts: Sequence[PartRecord], names: Collection[str], source: str | None = None
) -> Integers:
    """Finds the rows of proteins.

    Args:
        root: The output root.
        parts: The parts that are looked through.
        names: Ids or accessions, whole; an id may be that of several rows.
        source: The one input file whose rows are looked at; None for all.

    Returns:
        int64 array of shape (n, 2): position in ``parts``, and row in that part.
    """
    wanted = pa.array(list(names), pa.string())
    found = [np.zeros((0, 2), np.int64)]
    for number, part in enumerate(parts):
        if source is not None and source not in part.sources:
            continue
        start = 0
        for block in read_blocks(root, part, ("id", "accession", "source")):
            is_wanted = pc.or_(
                pc.is_in(block["id"], value_set=wanted),
                pc.is_in(block["accession"], value_set=wanted),
            )
            if source is not None:
                is_wanted = pc.and_(is_wanted, pc.equal(block["source"], source))
            rows = np.flatnonzero(is_wanted.to_numpy(zero_copy_only=False)) + start
            found.append(np.stack([np.full(len(rows), number), rows], axis=1))
            start += len(block)
    return np.concatenate(found)


def read_picked(
    root: str, parts: Sequence[PartRecord], places: Integers, columns: Sequence[str]
) -> pa.Table:
    """Reads some rows.

    Args:
        root: The output root.
        parts: The parts.
        places: As :func:`find_rows` returns them, at least one, in any order; a row may be there
            several times.
        columns: What is wanted of each row.

    Returns:
        The rows, in the order of ``places``.
    """
    blocks: list[pa.RecordBatch] = []
    order: list[Integers] = []
    for number in np.unique(places[:, 0]):
        start = 0
        rows = np.where(places[:, 0] == number, places[:, 1], -1)
        for block in read_blocks(root, parts[number], columns):
            here = np.flatnonzero((rows >= start) & (rows < start + len(block)))
            if len(here):
                blocks.append(block.take(pa.array(rows[here] - start)))
                order.append(here)
            start += len(block)
    return pa.Table.from_batches(blocks).take(pa.array(np.argsort(np.concatenate(order))))
