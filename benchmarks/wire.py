"""What a record weighs between the steps: real ones, encoded by the pipeline's own coder."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transforms.inputs.reading import in_batches
from transforms.items import EmbeddingBlock, ItemCoder, Protein
from transforms.output.commits import Output
from transforms.output.parts import part_name, write_part
from transforms.residues import ResiduePolicy, apply_policy

NAME = "uniref50.fasta"
DIM = 1280
# Of the usual length in UniRef50.
HEADER = (
    "UniRef50_A0A5A9P0L4",
    "peptidylprolyl isomerase n=1 Tax=Triplophysa tibetana TaxID=1572043 RepID=A0A5A9P0L4_9TELE",
)


@dataclass(frozen=True)
class Weights:
    """What a record weighs on the wire and in state, in bytes, beside its residues.

    Attributes:
        read: From the reader to the batches.
        embedded: From the model to the parts, without the vector.
        vector: Its vector.
        settled: From the parts to the completion of files, for each part and file.
        commit: Of the commit record of a part that holds records of one file.
    """

    read: float
    embedded: float
    vector: int
    settled: int
    commit: int


def weigh(sequences: Sequence[str]) -> Weights:
    """Encodes proteins at each step of the line, and writes a part, to see what they weigh."""
    read = [
        Protein(NAME, ordinal, *HEADER, sequence, "0" * 64)
        for ordinal, sequence in enumerate(sequences)
    ]
    checked = [apply_policy(protein, ResiduePolicy()) for protein in read]
    encode = ItemCoder().encode
    residues = sum(map(len, sequences))
    batches = list(in_batches(checked))
    block = EmbeddingBlock(tuple(checked), np.ones((len(checked), DIM), np.float32))
    vector = 4 * DIM
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        name = part_name("0123456789ab", 100, 1000)
        settled = write_part(name, [block], Output(folder, "0123456789ab", "model", "revision"))
        commit = Path(folder, "commits", f"{name}.json").stat().st_size
    return Weights(
        read=(sum(len(encode(batch)) for batch in batches) - residues) / len(read),
        embedded=(len(encode(block)) - residues) / len(read) - vector,
        vector=vector,
        settled=len(encode(settled[0])),
        commit=commit,
    )
