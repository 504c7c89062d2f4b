"""A search in an output: what is searched with, and the nearest of what is committed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.recorded import read_recorded
from pipeline.searching.hits import Hit
from pipeline.searching.queries import Queries, Query, SearchConfig, pick_queries
from pipeline.settled import read_settled
from transforms import storage
from transforms.errors import ConfigurationError
from transforms.items import DeadLetter
from transforms.output.blocks import read_blocks
from transforms.output.commits import Commits, PartRecord, read_commits
from transforms.output.neighbours import Block, Neighbours, nearest
from transforms.output.parquet import to_matrix
from transforms.output.picking import read_picked

_OF_HITS = ("id", "accession", "description", "sequence_length", "source", "ordinal")


@dataclass(frozen=True, slots=True)
class Found:
    """What a search has found.

    Attributes:
        hits: The neighbours of each protein, the nearest first, in the order of the queries.
        failures: Records and files of the query that could not be embedded.
        proteins: What was searched with.
        rows: How many were searched.
        seconds: What the search took, without the model.
    """

    hits: tuple[Hit, ...]
    failures: tuple[DeadLetter, ...]
    proteins: tuple[Query, ...]
    rows: int
    seconds: float


def search_output(config: SearchConfig) -> Found:
    """Searches an output, which a run may go on to write and a compaction to merge.

    Raises:
        ConfigurationError: It cannot be searched as asked; the message says why.
        OSError: It cannot be read.
    """
    root = storage.absolute(config.output)
    configuration = read_recorded(root)
    committed = read_commits(root)
    if not committed.parts_with_rows():
        raise ConfigurationError(f"{root} holds no embedded protein yet. Run the pipeline first.")
    if config.queries:
        # Late, as it brings torch, which a search by id does not need.
        from pipeline.searching.embedded import embed_queries

        queries = embed_queries(config, configuration)
        return read_settled(root, partial(search_rows, root, config.top, queries), committed)
    return read_settled(root, partial(_search_by_id, root, config), committed)


def _search_by_id(root: str, config: SearchConfig, committed: Commits) -> Found:
    return search_rows(root, config.top, pick_queries(root, config, committed), committed)


def search_rows(root: str, top: int, queries: Queries, committed: Commits) -> Found:
    """Finds the nearest committed rows to each of some vectors.

    Raises:
        ConfigurationError: A part is damaged.
        OSError: One cannot be read; FileNotFoundError where it was replaced meanwhile.
    """
    started = time.perf_counter()
    parts = committed.parts_with_rows()
    sources = sorted(committed.by_source())
    # Each has itself as a neighbour, or others that are the same.
    wanted = top + 1 if queries.are_rows else top
    try:
        found = nearest(queries.vectors, _blocks(root, parts, sources), wanted)
    except ValueError as error:
        raise ConfigurationError(
            f"{root}: {error}. Run python -m pipeline.verify, and put back from a copy what it "
            "names."
        ) from error
    if queries.are_rows:
        ranks = {source: rank for rank, source in enumerate(sources)}
        pairs = zip(found, queries.proteins, strict=True)
        found = [_without(each, (ranks[q.source], q.ordinal), top) for each, q in pairs]
    hits = tuple(_hits(root, parts, queries.proteins, found))
    seconds = time.perf_counter() - started
    return Found(
        hits, queries.failures, queries.proteins, sum(part.rows for part in parts), seconds
    )


def _blocks(root: str, parts: Sequence[PartRecord], sources: Sequence[str]) -> Iterator[Block]:
    """Yields all rows; their keys are source, by its rank, ordinal, part and row in that part."""
    named = pa.array(sources, pa.string())
    for number, part in enumerate(parts):
        start = 0
        for batch in read_blocks(root, part, ("source", "ordinal", "embedding")):
            yield _block(batch, named, number, start)
            start += len(batch)


def _block(batch: pa.RecordBatch, sources: pa.Array, part: int, start: int) -> Block:
    ranks = pc.index_in(batch["source"], value_set=sources).to_numpy(zero_copy_only=False)
    ordinals = batch["ordinal"].to_numpy()
    rows = np.arange(start, start + len(batch))
    keys = np.stack([ranks, ordinals, np.full(len(batch), part), rows], axis=1)
    return Block(to_matrix(pa.chunked_array([batch["embedding"]])), keys.astype(np.int64))


def _without(found: Neighbours, key: tuple[int, int], top: int) -> Neighbours:
    others = np.flatnonzero((found.keys[:, :2] != key).any(axis=1))[:top]
    return Neighbours(found.cosines[others], found.keys[others])


def _hits(
    root: str, parts: Sequence[PartRecord], queries: Sequence[Query], found: Sequence[Neighbours]
) -> Iterator[Hit]:
    places = [each.keys[:, 2:] for each in found if len(each.keys)]
    if not places:
        return
    rows = iter(read_picked(root, parts, np.concatenate(places), _OF_HITS).to_pylist())
    for query, each in zip(queries, found, strict=True):
        for rank, cosine in enumerate(each.cosines.tolist(), 1):
            yield Hit(
                query=query.id,
                rank=rank,
                cosine=cosine,
                query_source=query.source,
                query_ordinal=query.ordinal,
                **next(rows),
            )
