"""Proteins of an output that it is searched with, by their ids."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.searching.queries import Queries, Query, SearchConfig
from transforms.errors import ConfigurationError
from transforms.output.commits import Commits
from transforms.output.parquet import to_matrix
from transforms.output.picking import find_rows, parts_with_rows, read_picked


def pick_queries(root: str, config: SearchConfig, committed: Commits) -> Queries:
    """Returns proteins of an output to search with, in the order in which they were asked for.

    Raises:
        ConfigurationError: One is not there.
    """
    parts = parts_with_rows(committed)
    places = find_rows(root, parts, config.ids, config.source)
    rows: list[dict[str, Any]] = []
    vectors = np.zeros((0, 0), np.float32)
    if len(places):
        columns = ("id", "accession", "source", "ordinal", "embedding")
        table = read_picked(root, parts, places, columns)
        vectors = to_matrix(table.column("embedding"))
        rows = table.drop_columns(["embedding"]).to_pylist()
    named = {name for row in rows for name in (row["id"], row["accession"])}
    if missing := [name for name in config.ids if name not in named]:
        where = root if config.source is None else f"{config.source} in {root}"
        raise ConfigurationError(
            f"{where} holds no protein with the id or accession {missing[0]!r}. Give the first "
            "word of its FASTA header, or its accession; descriptions are not looked through."
        )
    asked = {name: number for number, name in reversed(list(enumerate(config.ids)))}

    def rank(row: int) -> tuple[int, str, int]:
        held = rows[row]
        number = min(asked.get(held[name], len(asked)) for name in ("id", "accession"))
        return number, held["source"], held["ordinal"]

    order = sorted(range(len(rows)), key=rank)
    proteins = (Query(rows[i]["id"], rows[i]["source"], rows[i]["ordinal"]) for i in order)
    return Queries(tuple(proteins), vectors[order], are_rows=True)
