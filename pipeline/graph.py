"""The path of a record: one line, no side road."""

from __future__ import annotations

from collections.abc import Sequence

import apache_beam as beam

from transforms.batching import BatchByTokens
from transforms.commits import Output
from transforms.completion import CompleteFiles
from transforms.embed import EmbedConfig, infer
from transforms.esm_pt import WriteEsmPt
from transforms.finding import FastaFile, FindFasta
from transforms.items import Item
from transforms.messages import has_messages
from transforms.parts import WriteParts
from transforms.pulls import ReadMessages
from transforms.reading import ReadFasta
from transforms.residues import CheckResidues
from transforms.skipping import SkipCommitted
from transforms.validation import ValidateEmbeddings


def build(
    pipeline: beam.Pipeline,
    files: Sequence[FastaFile],
    config: EmbedConfig,
    output: Output,
    checkpoint_seconds: float = 60.0,
    is_begun: bool = True,
) -> beam.PCollection[Item]:
    """Applies the line to a pipeline and returns its end.

    One PCollection of items runs through; each step acts on its own kinds and passes the others
    on, so every record that was read arrives at the end with an outcome.
    """
    return (
        pipeline
        | "Find FASTA" >> FindFasta(files)
        | "Read FASTA"
        >> (ReadMessages() if has_messages(dict(output.configuration)) else ReadFasta())
        | "Check residues" >> CheckResidues(config.residues)
        | "Skip committed" >> SkipCommitted(output, is_begun)
        | "Batch by tokens" >> BatchByTokens(config.batch_tokens, lanes=config.lanes)
        | "Run inference" >> infer(config, output)
        | "Validate embeddings" >> ValidateEmbeddings(config.dim)
        | "Write parts" >> WriteParts(output, checkpoint_seconds, config.lanes)
        | "Complete files" >> CompleteFiles(lanes=config.lanes)
        | "Write ESM pt" >> WriteEsmPt(output)
    )
