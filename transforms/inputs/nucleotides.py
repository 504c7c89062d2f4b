"""FASTA files that seem to hold nucleotides, which a protein model embeds without complaint.

A, C, G, T, U and N are letters of amino acids too, so no single sequence can be refused for them.
But of natural proteins they make up little more than a quarter, so the beginning of a file that
consists of hardly anything else is worth a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from transforms import storage
from transforms.errors import FastaFormatError
from transforms.inputs.compression import decompress
from transforms.inputs.fasta import parse_fasta
from transforms.inputs.finding import FastaFile

_LETTERS = "ACGTUN"
_SHARE = 0.9
_FEWEST = 40  # letters, of fewer of which nothing is said

MOST_FILES, MOST_REMOTE_FILES = 32, 4
"""Files into which is looked: a warning must not cost time. Those named .fna come first."""

_BYTES = 1 << 16


def seems_nucleotides(sequences: Iterable[str]) -> bool:
    """Tells whether sequences are nearly all of the letters A, C, G, T, U and N, of either case."""
    text = "".join(sequences).upper()
    return len(text) >= _FEWEST and sum(map(text.count, _LETTERS)) >= _SHARE * len(text)


def find_nucleotides(files: Iterable[FastaFile]) -> list[FastaFile]:
    """Returns the files, of some that are looked into, whose beginning seems to be nucleotides."""
    likely_first = sorted(files, key=lambda file: ".fna" not in file.source.lower())[:MOST_FILES]
    are_local = all(storage.is_local(file.url) for file in likely_first)
    most = MOST_FILES if are_local else MOST_REMOTE_FILES
    return [file for file in likely_first[:most] if _seems(file)]


# Who makes a report now and then does not read the files for it again.
@lru_cache(maxsize=256)
def _seems(file: FastaFile) -> bool:
    try:
        chunks = decompress(storage.open_chunks(file.url, _BYTES))
        text = next(filter(None, chunks), b"")[:_BYTES]
        return seems_nucleotides(record.sequence or "" for record in parse_fasta([text]))
    except (FastaFormatError, OSError):
        return False  # what is wrong with it is told by whoever reads it


def tell_nucleotides(sources: Iterable[str]) -> Iterator[str]:
    """Yields a sentence for each file, with what to do."""
    for source in sources:
        yield (
            f"note: {source} seems to hold nucleotides. They are embedded as if each letter "
            "were an amino acid, which means nothing: give the translated proteins."
        )
