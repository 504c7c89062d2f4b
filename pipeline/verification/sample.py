"""A random sample of an output's vectors, computed again."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.verification.files import OpenPart
from pipeline.verification.findings import Finding, place
from transforms.arrays import Vectors
from transforms.esm.model import EsmModelHandler, ModelConfig
from transforms.items import Batch, DeadLetter, EmbeddingBlock, Protein
from transforms.output.commits import PartRecord

MAX_DIFFERENCE = 1e-4
"""Of float32 vectors, scaled to unit RMS."""

MIN_COSINE = 0.999
"""Of vectors in half precision with those in float32."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """A record that is to be computed again.

    Attributes:
        protein: As the model is given it.
        part: The part in which it lies.
        row: Its row there.
    """

    protein: Protein
    part: str
    row: int


class Sample:
    """Records drawn uniformly from a stream whose length is not known.

    Args:
        size: How many.
        seed: The same seed draws the same records of the same output.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self._random = random.Random(seed)
        self._seen = 0
        self.drawn: list[Sampled] = []

    def offer(self, protein: Protein, part: str, row: int) -> None:
        """Takes a record, perhaps in the place of another."""
        self._seen += 1
        if len(self.drawn) < self.size:
            self.drawn.append(Sampled(protein, part, row))
        elif (index := self._random.randrange(self._seen)) < self.size:
            self.drawn[index] = Sampled(protein, part, row)


def check_sample(
    sample: Sample,
    parts: Mapping[str, PartRecord],
    open_part: OpenPart,
    model: ModelConfig,
    configuration: Mapping[str, Any],
) -> Iterator[Finding]:
    """Computes each record of a sample again, alone and in float32.

    Args:
        sample: The records.
        parts: The parts by name.
        open_part: Reads a part.
        model: The model of the output.
        configuration: What the output was computed with.

    Raises:
        ConfigurationError: The model cannot be had.
    """
    if not sample.drawn:
        return
    handler = EsmModelHandler(model, configuration["truncation_seq_length"])
    loaded = handler.load_model()
    is_half = configuration["dtype"] != "float32"
    for each in sorted(sample.drawn, key=lambda each: (each.part, each.row)):
        rows = open_part(parts[each.part]).rows
        (outcome,) = handler.run_inference(Batch((each.protein,)), loaded)
        where = place(each.protein.source, each.protein.ordinal)
        if isinstance(outcome, EmbeddingBlock) and rows is not None:
            if differs := compare_vectors(rows.vectors[each.row], outcome.vectors[0], is_half):
                yield Finding("sample", f"{where}: computed again, {differs}")
        elif isinstance(outcome, DeadLetter):
            yield Finding("sample", f"{where}: cannot be computed again: {outcome.message}")


def compare_vectors(held: Vectors, computed: Vectors, is_half: bool) -> str:
    """Returns how far a vector is from what it should be, in words; nothing if it is near.

    Args:
        held: The vector of the output.
        computed: The same in float32.
        is_half: Whether the output was computed in half precision.
    """
    ours, theirs = held.astype(np.float64), computed.astype(np.float64)
    if is_half:
        cosine = float(ours @ theirs / (np.linalg.norm(ours) * np.linalg.norm(theirs)))
        # Not below MIN_COSINE, which a NaN is not either.
        return "" if cosine >= MIN_COSINE else f"its vector has a cosine of {cosine:.6f}"
    rms = float(np.sqrt(np.mean(theirs**2)))
    difference = float(np.abs(ours - theirs).max()) / rms
    return "" if difference <= MAX_DIFFERENCE else f"its vector differs by {difference:.2g} RMS"
