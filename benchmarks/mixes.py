"""The inputs of benchmarks: proteins drawn with a seed, and the FASTA files that hold them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path

import numpy as np

REPO = Path(__file__).parents[1]
_LARGE = REPO.parent / "shared/data/large/general_19789.fasta.gz"
SOURCE = _LARGE if _LARGE.exists() else None
"""Natural proteins; None where they are not at hand, for synthetic ones."""

MAX_RESIDUES = 1024
"""What every program is given of a sequence at the most; a longer one is cut before."""

# Without the source: proteins of about its lengths, 5 % below 70 residues and 5 % above 1,200.
SYNTHETIC_RECORDS = 20_000
LOG_LENGTH, LOG_LENGTH_SPREAD = 5.64, 0.88
AMINO_ACIDS = "LLLLAAAASSSGGGEEEVVVKKKTTTRRRIIDDPPQQNNFFYMHCW"

# Short reads, translated: half of them below 100 residues, and many of them there twice.
SHORT_MEDIAN, SHORT_SPREAD, SHORT_DUPLICATES = 100, 0.6, 0.3
WARM_UP_RECORDS = 8
_LINE = 60


def read_sequences(source: Path | None = SOURCE) -> list[str]:
    """Returns the sequences that inputs are made of.

    Args:
        source: A FASTA file; None for synthetic ones.
    """
    if source is None:
        rng = np.random.default_rng(0)
        lengths = np.exp(rng.normal(LOG_LENGTH, LOG_LENGTH_SPREAD, SYNTHETIC_RECORDS))
        return [_draw_residues(rng, int(length)) for length in lengths.clip(8, 8000)]
    from transforms import storage
    from transforms.inputs.compression import decompress
    from transforms.inputs.fasta import parse_fasta

    records = parse_fasta(decompress(storage.open_chunks(str(source))))
    return [record.sequence for record in records if record.sequence]


def draw_large(count: int, seed: int = 0, source: Path | None = SOURCE) -> list[str]:
    """Draws proteins of natural lengths.

    Sequences with letters that are no residue are passed over: they are dealt with differently
    by each program, and none of them is slow or fast for it.

    Args:
        count: How many.
        seed: Of the draw.
        source: Where they are drawn from; None for synthetic ones.
    """
    residues = set("ACDEFGHIKLMNPQRSTVWYXUBZO")
    pool = [sequence for sequence in read_sequences(source) if set(sequence) <= residues]
    chosen = np.random.default_rng(seed).choice(len(pool), count, replace=count > len(pool))
    return [pool[index] for index in chosen]


def draw_short(count: int, seed: int = 0) -> list[str]:
    """Draws short proteins, of which 30 % are there already.

    Args:
        count: How many, duplicates counted.
        seed: Of the draw.
    """
    rng = np.random.default_rng(seed)
    unique = max(1, round(count * (1 - SHORT_DUPLICATES)))
    lengths = np.exp(rng.normal(np.log(SHORT_MEDIAN), SHORT_SPREAD, unique)).clip(10, MAX_RESIDUES)
    pool = [_draw_residues(rng, int(length)) for length in lengths]
    repeated = [pool[index] for index in rng.integers(unique, size=count - unique)]
    drawn = pool + repeated
    return [drawn[index] for index in rng.permutation(len(drawn))]


MIXES = {"large": draw_large, "short": draw_short}


def shuffled(sequences: Iterable[str], seed: int = 0) -> Iterator[str]:
    """Yields sequences with their residues in another order, so that no vector is known."""
    rng = np.random.default_rng(seed)
    for sequence in sequences:
        yield rng.permutation(np.frombuffer(sequence.encode(), np.uint8)).tobytes().decode()


def choose_warm_up(sequences: Sequence[str]) -> list[str]:
    """Returns sequences of an input's lengths that are not in it: no vector is known from them."""
    chosen = sequences[:: max(1, len(sequences) // WARM_UP_RECORDS)][:WARM_UP_RECORDS]
    return [sequence[::-1] for sequence in chosen]


def cut(sequences: Iterable[str]) -> list[str]:
    """Returns what is computed of each sequence."""
    return [sequence[:MAX_RESIDUES] for sequence in sequences]


def write_random(folder: Path, sequences: Sequence[str], count: int, per_file: int) -> int:
    """Writes FASTA files of as many records as are wanted, none of which is there twice.

    Args:
        folder: Where to; it is made.
        sequences: Whose residues, in orders of their own, are taken, again and again.
        count: Records in all.
        per_file: Records of a file.

    Returns:
        How many residues they have.
    """
    folder.mkdir()
    records, residues = enumerate(shuffled(cycle(sequences))), 0
    for start in range(0, count, per_file):
        with (folder / f"proteins_{start:08d}.fasta").open("w") as file:
            for number, sequence in islice(records, min(per_file, count - start)):
                file.write(f">protein_{number:08d}\n{sequence}\n")
                residues += len(sequence)
    return residues


def write_fasta(path: Path, sequences: Sequence[str]) -> Path:
    """Writes sequences under ids that tell their positions, ``protein_00000`` and on."""
    with path.open("w") as file:
        for number, sequence in enumerate(sequences):
            lines = (sequence[start : start + _LINE] for start in range(0, len(sequence), _LINE))
            file.write(f">protein_{number:05d}\n" + "".join(f"{line}\n" for line in lines))
    return path


def read_fasta(path: Path) -> dict[str, str]:
    """Reads what :func:`write_fasta` wrote: sequences by id, in their order."""
    records = path.read_text().split(">")[1:]
    return {name: "".join(lines) for name, *lines in (record.split("\n") for record in records)}


def _draw_residues(rng: np.random.Generator, length: int) -> str:
    letters = np.frombuffer(AMINO_ACIDS.encode(), np.uint8)
    return rng.choice(letters, length).tobytes().decode()
