"""One look at each row of an output, block by block; what is kept does not grow with the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa

from pipeline.reporting.extremes import Extremes, Row
from pipeline.reporting.histogram import Histogram
from pipeline.reporting.moments import Moments
from pipeline.reporting.sample import Sampler, choose_places
from pipeline.reporting.twins import Twins
from pipeline.shared_ids import SharedIds
from transforms import storage
from transforms.arrays import Flags
from transforms.errors import damaged
from transforms.output.blocks import read_blocks
from transforms.output.commits import EMBEDDINGS, PartRecord
from transforms.output.committed import DAMAGE, short_digests
from transforms.output.parquet import to_matrix

OF_SAMPLE = ("id", "accession", "description", "source", "ordinal", "sequence_length")
_COLUMNS = (*OF_SAMPLE, "truncated", "sequence_sha256", "embedding")

MOST_FAULTS = 20
MOST_IDS = 2_000_000
"""Rows whose ids are compared, which takes 16 MB."""


@dataclass(eq=False)
class Survey:
    """What is known of the rows that went by.

    Attributes:
        moments: Of each dimension.
        sampler: Takes the rows of the map.
        lengths: Of the sequences, before truncation.
        norms: Of the vectors.
        extremes: The rows with the greatest and the least norms.
        twins: Rows of the same sequence.
        shared_ids: Rows whose ids others have too.
        rows: How many rows there were.
        residues: Residues of their sequences.
        truncated: How many rows were truncated.
        faults: What is wrong, a sentence each. Rows with NaN or infinity count in nothing but the
            lengths.
    """

    moments: Moments
    sampler: Sampler
    lengths: Histogram = field(default_factory=Histogram)
    norms: Histogram = field(default_factory=Histogram)
    extremes: Extremes = field(default_factory=Extremes)
    twins: Twins = field(default_factory=Twins)
    shared_ids: SharedIds = field(default_factory=lambda: SharedIds(MOST_IDS))
    rows: int = 0
    residues: int = 0
    truncated: int = 0
    faults: list[str] = field(default_factory=list)

    def add(self, batch: pa.RecordBatch) -> None:
        """Takes note of some rows."""
        table = pa.Table.from_batches([batch])
        lengths = table.column("sequence_length").to_numpy()
        self.rows += len(table)
        self.residues += int(lengths.sum(dtype=np.int64))
        self.truncated += int(table.column("truncated").to_numpy().sum())
        self.lengths.add(lengths)
        self.shared_ids.add(table.column("id").to_pylist())

        vectors = to_matrix(table.column("embedding"))
        norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))
        are_good = np.isfinite(norms)
        self.sampler.add(table, vectors, are_good)
        if not are_good.all():
            self._note_broken(table, are_good)
            table = table.filter(pa.array(are_good))
            vectors, norms = vectors[are_good], norms[are_good]
        name = partial(_name, table)
        self.norms.add(norms)
        self.extremes.add(norms, name)
        self.moments.add(vectors)
        self.twins.add(short_digests(table.column("sequence_sha256").to_pylist()), vectors, name)

    def _note_broken(self, table: pa.Table, are_good: Flags) -> None:
        for row in np.flatnonzero(~are_good)[: MOST_FAULTS - len(self.faults)].tolist():
            named = _name(table, row)
            self.faults.append(
                f"{named.id} ({named.source}, record {named.ordinal + 1:,}): its vector holds "
                "NaN or infinity"
            )


def survey_rows(root: str, parts: Sequence[PartRecord], dim: int, most: int) -> Survey:
    """Looks at all rows of some parts.

    Raises:
        ConfigurationError: A part is damaged.
        OSError: One cannot be read; FileNotFoundError where it was replaced meanwhile.
    """
    places = choose_places(sum(part.rows for part in parts), most)
    survey = Survey(Moments(dim), Sampler(places, OF_SAMPLE, dim))
    for part in parts:
        before = survey.rows
        for batch in read_blocks(root, part, _COLUMNS):
            try:
                survey.add(batch)
            except DAMAGE as error:
                assert part.embeddings is not None
                raise damaged(storage.join(root, EMBEDDINGS, part.embeddings)) from error
        if (found := survey.rows - before) != part.rows and len(survey.faults) < MOST_FAULTS:
            survey.faults.append(
                f"{part.part} was committed with {part.rows:,} rows and holds {found:,}"
            )
    return survey


def _name(table: pa.Table, row: int) -> Row:
    names = ("id", "source", "ordinal", "description")
    columns = (table.column(name)[row].as_py() for name in names)
    return Row(*columns)
