"""What an export says of where its vectors come from."""

from __future__ import annotations

from typing import Any

import pipeline
from pipeline.exports.source import Source

TOLD = ("model", "revision", "fingerprint", "dim", "layers", "pooling", "dtype", "residues",
         "long_sequences", "truncation_seq_length")  # fmt: skip
"""What a reader of vectors asks; paths of the machine that made them are not among it."""


def describe(source: Source) -> dict[str, Any]:
    """Returns model, pooling, policies and counts, as strings and numbers."""
    told = {name: source.configuration.get(name) for name in TOLD}
    return {
        **{name: value for name, value in told.items() if value not in (None, "")},
        "rows": source.rows,
        "key": source.key,
        "made_with": f"fastesm-beam {pipeline.__version__}",
    }
