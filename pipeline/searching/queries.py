"""What a search is asked for, and what is searched with."""

from __future__ import annotations

from dataclasses import dataclass

from transforms.arrays import Vectors
from transforms.items import DeadLetter


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
