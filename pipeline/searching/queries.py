"""What a search is asked for, and what is searched with: by ids, rows of the output itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from transforms.arrays import Vectors
from transforms.errors import ConfigurationError
from transforms.items import DeadLetter
from transforms.output.commits import Commits
from transforms.output.parquet import to_matrix
from transforms.output.picking import find_rows, read_picked


@dataclass(frozen=True)
class SearchConfig:
    """What is searched for, and where.

    Attributes:
        output: The output root.
        queries: FASTA files, globs and folders that are searched with.
        ids: Ids or accessions in the output that are searched with instead.
        source: The input file in which ``ids`` are; None for any.
        top: How many neighbours are wanted of each.
        model: Where the model is now; None for where it was.
        device: Where it runs.
        dtype: In which precision; None for that of the output.
    """

    output: str
    queries: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    source: str | None = None
    top: int = 10
    model: str | None = None
    device: str = "auto"
    dtype: str | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """A protein that is searched with.

    Attributes:
        id: Its id.
        source: Its file.
        ordinal: Its position there, from 0.
    """

    id: str
    source: str
    ordinal: int


@dataclass(frozen=True, slots=True, eq=False)
class Queries:
    """What is searched with.

    Attributes:
        proteins: Q proteins.
        vectors: float32 array of shape (Q, D).
        failures: Records and files that could not be embedded.
        are_rows: Whether they are rows of the output, which are not neighbours of themselves.
    """

    proteins: tuple[Query, ...]
    vectors: Vectors
    failures: tuple[DeadLetter, ...] = ()
    are_rows: bool = False


def pick_queries(root: str, config: SearchConfig, committed: Commits) -> Queries:
    """Returns proteins of an output to search with, in the order in which they were asked for.

    Raises:
        ConfigurationError: One is not there.
    """
    parts = committed.parts_with_rows()
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
