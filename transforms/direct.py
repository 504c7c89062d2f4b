"""The line from a file to its vectors without a runner, for a few records wanted at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from transforms.esm.model import EsmModelHandler
from transforms.inputs.finding import FastaFile
from transforms.inputs.reading import in_batches, read_items
from transforms.items import DeadLetter, EmbeddingBlock, Item, Protein
from transforms.residues import ResiduePolicy, check_residues
from transforms.validation import validate


def embed_files(
    files: Iterable[FastaFile], policy: ResiduePolicy, handler: EsmModelHandler, dim: int
) -> Iterator[EmbeddingBlock | DeadLetter]:
    """Embeds the records of files, with the steps of the line one after the other.

    Args:
        files: The files.
        policy: The residue policy.
        handler: The model; without an output nothing is noted anywhere.
        dim: Width that vectors must have.

    Yields:
        Blocks, together in the order of the records, and a dead letter for each record, or file,
        that failed.

    Raises:
        ConfigurationError: The model, its device or its dtype cannot be had.
        Exception: The device is broken for this process.
    """
    model = handler.load_model()
    for file in files:
        for batch in in_batches(_checked(read_items(file), policy)):
            for item in handler.run_inference(batch, model):
                for outcome in validate(item, dim) if isinstance(item, EmbeddingBlock) else (item,):
                    if isinstance(outcome, EmbeddingBlock | DeadLetter):
                        yield outcome


def _checked(items: Iterable[Item], policy: ResiduePolicy) -> Iterator[Item]:
    for item in items:
        yield check_residues(item, policy) if isinstance(item, Protein) else item
