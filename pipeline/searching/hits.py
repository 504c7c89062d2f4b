"""What a search has found, as people and programs read it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from pipeline.searching.queries import Query
from transforms.output.neighbours import DECIMALS
from transforms.text import printable

COLUMNS = ("query", "rank", "cosine", "source", "ordinal", "id", "accession", "description",
           "sequence_length")  # fmt: skip


_MOST_PLACES = 20


@dataclass(frozen=True, slots=True)
class Hit:
    """A protein that is near to another one.

    Attributes:
        query: Id of that which was searched with.
        rank: From 1, the nearest.
        cosine: Of the two vectors.
        source: File of the protein that was found.
        ordinal: Its position there, from 0.
        id: Its id.
        accession: In its id; None for none.
        description: The rest of its header; None for none.
        sequence_length: Its residues.
        query_source: File of that which was searched with.
        query_ordinal: Its position there, which tells apart those with the same id.
    """

    query: str
    rank: int
    cosine: float
    source: str
    ordinal: int
    id: str
    accession: str | None
    description: str | None
    sequence_length: int
    query_source: str
    query_ordinal: int


def as_tsv(hits: Iterable[Hit]) -> Iterator[str]:
    r"""Yields a header line and a line for each hit; a tab in a name comes out as ``\t``."""
    yield "\t".join(COLUMNS)
    for hit in hits:
        values = (_text(getattr(hit, column)) for column in COLUMNS)
        yield "\t".join(values)


def _text(value: str | float | None) -> str:
    if isinstance(value, float):
        return f"{value:.{DECIMALS}f}"
    return "" if value is None else printable(str(value))


def as_json(hits: Iterable[Hit]) -> Iterator[str]:
    """Yields a JSON object for each hit."""
    for hit in hits:
        yield json.dumps(asdict(hit))


def tell_homonyms(proteins: Iterable[Query]) -> Iterator[str]:
    """Yields a sentence for each id that several proteins have which were searched with.

    Their neighbours come in the order in which they are named.
    """
    named: dict[str, list[str]] = {}
    for protein in proteins:
        place = f"{protein.source}, ordinal {protein.ordinal}"
        named.setdefault(protein.id, []).append(place)
    for name, places in named.items():
        if len(places) > 1:
            shown = "; ".join(places[:_MOST_PLACES]) + "; …" * (len(places) > _MOST_PLACES)
            yield printable(f"{len(places):,} lists are for {name or 'no id'}, in order: {shown}")
