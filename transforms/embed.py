"""Embedding in somebody else's pipeline: proteins in, vectors and dead letters out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import apache_beam as beam
from apache_beam.ml.inference.base import RunInference

from transforms.arrays import Vector
from transforms.awaiting import AwaitDevice
from transforms.batching import BatchByTokens
from transforms.esm.model import EsmModelHandler, ModelConfig
from transforms.esm.slicing import batch_tokens
from transforms.items import DeadLetter, EmbeddingBlock, Item
from transforms.output.commits import Output
from transforms.residues import CheckResidues, ResiduePolicy
from transforms.validation import ValidateEmbeddings


@dataclass(frozen=True)
class EmbedConfig:
    """What turns a sequence into a vector.

    Attributes:
        residues: The residue policy.
        model: The model and how it is run.
        dim: Width that vectors must have; None for the model's own.
        lanes: Number of keys of the stateful steps; 1 on a local run.
        max_batch_wait: Seconds after which a partial batch is sent on; 0 for never.
        hints: Beam's resource hints of the inference step, and of no other, by name; none for
            a local run, where an accelerator hint makes Beam start a second process.
    """

    residues: ResiduePolicy = field(default_factory=ResiduePolicy)
    model: ModelConfig = field(default_factory=ModelConfig)
    dim: int | None = None
    lanes: int = 1
    max_batch_wait: float = 0.0
    hints: tuple[tuple[str, str], ...] = ()

    @property
    def batch_tokens(self) -> int:
        """Tokens of one batch."""
        return batch_tokens(self.model.full_pass)


def infer(config: EmbedConfig, output: Output | None = None) -> beam.PTransform:
    """Returns the inference step, batches in and blocks out.

    Args:
        config: What turns a sequence into a vector.
        output: Where it is noted what is under way; None for nowhere.
    """
    hints = dict(config.hints)
    handler = EsmModelHandler(
        config.model,
        config.residues.truncation_seq_length,
        output,
        hints,
        defers=True,
    )
    run = RunInference(handler).with_output_types(Item)
    return run | "Await device" >> AwaitDevice(hints)


@dataclass
class Embed(beam.PTransform):  # type: ignore[misc]
    """The part of the line from CheckResidues to ValidateEmbeddings.

    In come items; out come an :class:`EmbeddingBlock` for what was embedded, a
    :class:`DeadLetter` for what failed, and every other kind as it came. May be applied any
    number of times in one pipeline.

    Attributes:
        config: What turns a sequence into a vector.
    """

    config: EmbedConfig

    def expand(self, items: beam.PCollection[Item]) -> beam.PCollection[Item]:
        """Applies the steps."""
        config = self.config
        return (
            items
            | "Check residues" >> CheckResidues(config.residues)
            | "Batch by tokens"
            >> BatchByTokens(
                config.batch_tokens, lanes=config.lanes, max_batch_wait=config.max_batch_wait
            )
            | "Run inference" >> infer(config)
            | "Validate embeddings" >> ValidateEmbeddings(config.dim)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """The vector of one record.

    Attributes:
        source: Path of the FASTA file below the input root.
        ordinal: Position of the record in its file, from 0.
        id: First word of the header.
        description: The rest of the header.
        sequence: Residues after the policy, never truncated.
        residues_used: How many of them the model was given.
        vector: float32 array of shape (D,).
        message_id: The message that held it; this and the next are empty if none did.
        attributes: What the publisher of that said beside it, as JSON; empty for nothing.
    """

    source: str
    ordinal: int
    id: str
    description: str
    sequence: str
    residues_used: int
    vector: Vector
    message_id: str = ""
    attributes: str = ""


class Embedded(NamedTuple):
    """What :class:`EmbedProteins` returns.

    Attributes:
        embeddings: PCollection of :class:`Embedding`, one for each embedded record.
        dead_letters: PCollection of :class:`DeadLetter`.
    """

    embeddings: beam.PCollection[Embedding]
    dead_letters: beam.PCollection[DeadLetter]


@dataclass
class EmbedProteins(beam.PTransform):  # type: ignore[misc]
    """Embeds proteins, bounded or unbounded, and splits the outcome in two PCollections.

    In come items, as ``ReadFasta`` or your own code makes them (:class:`Protein`); every record
    comes out exactly once, as an embedding or as a dead letter.

    Attributes:
        config: What turns a sequence into a vector.
    """

    config: EmbedConfig = field(default_factory=EmbedConfig)

    def expand(self, items: beam.PCollection[Item]) -> Embedded:
        """Applies the steps."""
        outcome = items | "Embed" >> Embed(self.config)
        return Embedded(
            outcome | "Embeddings" >> beam.FlatMap(split_block).with_output_types(Embedding),
            outcome | "Dead letters" >> beam.FlatMap(dead_letter).with_output_types(DeadLetter),
        )


def split_block(item: Item) -> Iterable[Embedding]:
    """Yields one embedding for each row of a block, and nothing for other kinds."""
    if isinstance(item, EmbeddingBlock):
        for protein, vector in zip(item.proteins, item.vectors, strict=True):
            yield Embedding(
                source=protein.source,
                ordinal=protein.ordinal,
                id=protein.id,
                description=protein.description,
                sequence=protein.sequence,
                residues_used=protein.residues_used,
                # A copy: a row that is kept must not keep its whole block.
                vector=vector.copy(),
                message_id=protein.message_id,
                attributes=protein.attributes,
            )


def dead_letter(item: Item) -> Iterable[DeadLetter]:
    """Yields a dead letter, and nothing for other kinds."""
    if isinstance(item, DeadLetter):
        yield item
