"""What a run would take on disk, by what some of its records do."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from transforms.arrays import Vectors
from transforms.items import Protein
from transforms.output.commits import Output
from transforms.output.parquet import encode_rows
from transforms.output.pt_format import write_pt


@dataclass(frozen=True)
class OutputSize:
    """What is written, in bytes.

    Attributes:
        parquet: The parts.
        pt: The ``.pt`` files; 0 without any.
    """

    parquet: int
    pt: int


def measure_output(
    sample: Sequence[Protein], rows: int, files: int, dim: int, model: str
) -> OutputSize:
    """Returns what rows take on disk, by what some of them do.

    Args:
        sample: Some of the records.
        rows: How many rows there will be.
        files: How many ``.pt`` files; 0 for none.
        dim: Width of the vectors. Random ones take the place of what is not computed yet; either
            kind hardly compresses.
        model: Its name, which is in every row.
    """
    if not sample:
        return OutputSize(0, files * _size_of_pt([], np.zeros((0, dim), np.float32)))
    # Those of identical sequences are equal, and do compress.
    digests = [protein.sequence_sha256 for protein in sample]
    distinct, which = np.unique(digests, return_inverse=True)
    drawn = np.random.default_rng(0).standard_normal((len(distinct), dim), np.float32)[which]
    output = Output(root="", run="", model=model, revision="0" * 40)
    parquet = len(encode_rows(sample, drawn, output)) * rows // len(sample)
    if not files:
        return OutputSize(parquet, 0)
    frame = _size_of_pt([], drawn[:0])
    pt = _size_of_pt([protein.id for protein in sample], drawn) - frame
    return OutputSize(parquet, files * frame + pt * rows // len(sample))


def _size_of_pt(ids: Sequence[str], vectors: Vectors) -> int:
    handle = io.BytesIO()
    write_pt(handle, ids, [vectors])
    return handle.tell()
