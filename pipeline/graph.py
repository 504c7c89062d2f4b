"""The path of a record: one line, no side road."""

from __future__ import annotations

import apache_beam as beam

from transforms.batching import BatchByTokens
from transforms.completion import CompleteFiles
from transforms.embed import EmbedConfig, infer
from transforms.esm_pt import WriteEsmPt
from transforms.filling import WriteParts
from transforms.inputs.reading import ReadFasta
from transforms.inputs.spreading import ReadRanges
from transforms.items import Item
from transforms.output.commits import Output
from transforms.pulls import ReadMessages
from transforms.residues import CheckResidues
from transforms.shares import WriteShares
from transforms.skipping import SkipCommitted
from transforms.validation import ValidateEmbeddings


def build(
    pipeline: beam.Pipeline,
    source: beam.PTransform,
    config: EmbedConfig,
    output: Output,
    checkpoint_seconds: float,
    is_begun: bool = True,
) -> beam.PCollection[Item]:
    """Applies the line to a pipeline and returns its end.

    One PCollection of items runs through; each step acts on its own kinds and passes the others
    on, so every record that was read arrives at the end with an outcome.

    Args:
        pipeline: The pipeline.
        source: Begins it with files: ``FindFasta``, or ``WatchFasta`` for those that come.
        config: What turns a sequence into a vector, and how long partial batches and parts wait.
        output: Where to write.
        checkpoint_seconds: Work that a crash may cost at the most.
        is_begun: Whether an earlier run may have committed records of the files.
    """
    wait = config.max_batch_wait
    read = ReadRanges(output) if config.lanes > 1 else ReadFasta(output)
    return (
        pipeline
        | "Find FASTA" >> source
        | "Read FASTA" >> (ReadMessages() if output.of_messages else read)
        | "Check residues" >> CheckResidues(config.residues)
        | "Skip committed" >> SkipCommitted(output, is_begun)
        | "Batch by tokens"
        >> BatchByTokens(config.batch_tokens, lanes=config.lanes, max_batch_wait=wait)
        | "Run inference" >> infer(config, output)
        | "Validate embeddings" >> ValidateEmbeddings(config.dim)
        | "Write parts" >> WriteParts(output, checkpoint_seconds, config.lanes, wait)
        | "Complete files" >> CompleteFiles(lanes=config.lanes)
        | "Write ESM pt"
        >> (WriteShares(output, output.shard) if output.shard else WriteEsmPt(output))
    )
