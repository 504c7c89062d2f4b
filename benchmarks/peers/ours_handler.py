"""This pipeline's model handler alone, without Beam, files or commits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from benchmarks.batches import slice_by_sum
from benchmarks.mixes import MAX_RESIDUES, read_fasta
from benchmarks.peer import Peer, Setting, Vectors
from benchmarks.peers.ours import count_passes, make_model_config
from transforms import events
from transforms.awaiting import Deferred
from transforms.embed import EmbedConfig
from transforms.esm.model import EsmModelHandler
from transforms.items import Batch, EmbeddingBlock, Item, Protein


def load(setting: Setting) -> Peer:
    """Loads the model."""
    config = EmbedConfig(model=make_model_config(setting))
    handler = EsmModelHandler(config.model, MAX_RESIDUES, defers=True)
    model = handler.load_model()

    def run(batch: Batch) -> list[Item]:
        return handler.run_inference(batch, model)

    def embed(fasta: Path) -> Vectors:
        vectors = {}
        proteins = list(_read_proteins(fasta))
        tokens = [protein.tokens for protein in proteins]
        # As the pipeline cuts: in order of arrival, by the sum of the tokens.
        cut = slice_by_sum(range(len(proteins)), tokens, config.batch_tokens)
        batches = (Batch(tuple(proteins[index] for index in batch)) for batch in cut)
        with events.listening(count_passes(setting)):
            for item in _await(chain.from_iterable(map(run, batches))):
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


def _await(items: Iterable[Item]) -> Iterator[Item]:
    """Waits for a batch when the device has the next one, as ``AwaitDevice`` does."""
    held: list[Item] = []
    for item in items:
        if isinstance(item, Deferred):
            yield from _resolve(held)
            held = []
        held.append(item)
    yield from _resolve(held)


def _resolve(items: Iterable[Item]) -> Iterator[Item]:
    for item in items:
        yield from item.resolve() if isinstance(item, Deferred) else (item,)
