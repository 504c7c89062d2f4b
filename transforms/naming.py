"""What files are called in an output."""

from __future__ import annotations

import re

from transforms.output.commits import PT

_COMPRESSION_SUFFIX = re.compile(r"(?<=[^/])\.(gz|bgz|bz2|xz|zst)$", re.IGNORECASE)
_FASTA_SUFFIX = re.compile(r"(?<=[^/])\.(fa|faa|fasta|fas|fna)$", re.IGNORECASE)

_PT, _FAILURES = PER_FILE = "_ESM.pt", "_ESM.failures.jsonl"
"""How the names end of what is written for each file of its own."""


def is_fasta_name(url: str) -> bool:
    """Tells whether a file in a folder is taken for FASTA, by its name."""
    # macOS leaves a hidden ._x.faa beside each x.faa that it copies.
    is_hidden = url.rpartition("/")[2].startswith(".")
    return not is_hidden and _FASTA_SUFFIX.search(_COMPRESSION_SUFFIX.sub("", url)) is not None


def stem(source: str) -> str:
    """Returns a source without its compression suffix and its FASTA suffix.

    >>> stem("viral/my.family.fa.gz")
    'viral/my.family'
    """
    return _FASTA_SUFFIX.sub("", _COMPRESSION_SUFFIX.sub("", source))


def pt_name(source: str) -> str:
    """Returns the path of a file's ``.pt`` below the output root."""
    return f"{PT}/{stem(source)}{_PT}"


def failures_name(source: str) -> str:
    """Returns the path of a file's failures below the output root."""
    return f"{PT}/{stem(source)}{_FAILURES}"
