"""This pipeline's model handler alone, without Beam, files or commits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.mixes import MAX_RESIDUES, read_fasta
from benchmarks.peer import Peer, Setting, Vectors
from benchmarks.peers.ours import count_passes, make_model_config
from transforms import events
from transforms.embed import EmbedConfig
from transforms.items import Batch, EmbeddingBlock, Protein
from transforms.model import EsmModelHandler


def load(setting: Setting) -> Peer:
    """Loads the model."""
    config = EmbedConfig(model=make_model_config(setting))
    handler = EsmModelHandler(config.model, MAX_RESIDUES)
    model = handler.load_model()

    def embed(fasta: Path) -> Vectors:
        vectors = {}
        with events.listening(count_passes(setting)):
            for batch in _cut_batches(_read_proteins(fasta), config.batch_tokens):
                for item in handler.run_inference(batch, model):
                    if isinstance(item, EmbeddingBlock):
                        names = (protein.id for protein in item.proteins)
                        vectors.update(zip(names, item.vectors, strict=True))
        return vectors

    return Peer(embed)


def _read_proteins(fasta: Path) -> Iterator[Protein]:
    for ordinal, (name, sequence) in enumerate(read_fasta(fasta).items()):
        yield Protein(
            source=fasta.name,
            ordinal=ordinal,
            id=name,
            description="",
            sequence=sequence,
            file_sha256="",
            residues_used=min(len(sequence), MAX_RESIDUES),
        )


def _cut_batches(proteins: Iterator[Protein], tokens: int) -> Iterator[Batch]:
    """Cuts as the pipeline does: in order of arrival, by the sum of the tokens."""
    batch: list[Protein] = []
    for protein in proteins:
        if batch and sum(each.tokens for each in batch) + protein.tokens > tokens:
            yield Batch(tuple(batch))
            batch = []
        batch.append(protein)
    if batch:
        yield Batch(tuple(batch))
