"""How often is the nearest protein of the same family? By vectors, and by mere composition.

    python examples/labelled/neighbours_by_family.py OUT proteins.faa labels.tsv --column family

For each protein of OUT that has a label, its nearest neighbour by cosine is looked up among the
others. The share of those that have the same label is the precision at 1. The same is done with
the frequencies of amino acids and of pairs of them, for which no model is needed: vectors that do
no better have told nothing that the mere composition does not tell.

A protein is named by the first word of its header or by its accession, so that >sp|P69905|HBA_HUMAN
is found in a table whose ids are UniProt's entries, such as P69905.

All vectors are held in memory, and N x N cosines: this is for some thousands of proteins.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
from numpy.typing import NDArray

from pipeline.reporting.composition import composition
from transforms.accession import find_accession
from transforms.inputs.fasta import parse_fasta

MOST_SHOWN = 5

Matrix = NDArray[np.floating]


def nearest(vectors: Matrix, subtract_mean: bool = False) -> NDArray[np.intp]:
    """Returns the row of the nearest other vector by cosine, for each; of equals the first.

    Args:
        vectors: Array of shape (N, D), N at least 2.
        subtract_mean: Whether the mean of all vectors is taken away first. Vectors of language
            models all point in about the same direction; what they share tells nothing.
    """
    values = np.asarray(vectors, np.float64)
    values = values - values.mean(axis=0) if subtract_mean else values
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    values = values / np.where(lengths > 0, lengths, 1.0)
    cosines = values @ values.T
    np.fill_diagonal(cosines, -np.inf)
    # Vectors of identical proteins differ in the last digits: equals stay equal.
    return np.argmax(np.round(cosines, 9), axis=1)


def precision_at_1(neighbours: NDArray[np.intp], labels: Sequence[str]) -> float:
    """Returns the share of proteins whose neighbour has the same label."""
    names = np.asarray(labels)
    return float(np.mean(names == names[neighbours]))


def by_chance(labels: Sequence[str]) -> float:
    """Returns the precision at 1 that is to be expected of neighbours drawn at random."""
    total = len(labels)
    return sum(n * (n - 1) for n in Counter(labels).values()) / (total * (total - 1))


def read_vectors(output: str) -> dict[str, NDArray[np.float32]]:
    """Returns the vectors of an output by id; of rows with the same id the last."""
    rows = ds.dataset(f"{output}/embeddings", format="parquet")
    table = rows.to_table(columns=["id", "embedding"])
    vectors = table["embedding"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
    return dict(zip(table["id"].to_pylist(), vectors, strict=True))


def read_sequences(path: str) -> dict[str, str]:
    """Returns the sequences of a plain FASTA file by id."""
    records = parse_fasta([Path(path).read_bytes()])
    return {record.id: (record.sequence or "").upper() for record in records}


def read_labels(path: str, column: str) -> dict[str, str]:
    """Returns the labels of a table by what its first column holds; empty ones are left out.

    Raises:
        ValueError: It has no such column.
    """
    with open(path, newline="", encoding="utf-8-sig") as stream:
        names, *rows = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)) or [[]]
    if column not in names[1:]:
        held = ", ".join(names[1:]) or "none; are there tabs between them?"
        raise ValueError(f"{path}: no column {column}. Its columns after the first are: {held}")
    at = names.index(column, 1)
    return {row[0]: row[at] for row in rows if len(row) > at and row[at]}


def look_up(labelled: Mapping[str, str], name: str) -> str | None:
    """Returns the label of a protein, by its id or else its accession; None for none."""
    return labelled.get(name) or labelled.get(find_accession(name) or "")


def compare(
    kinds: Mapping[str, Matrix], labels: Sequence[str]
) -> dict[str, tuple[NDArray[np.intp], float, float]]:
    """Returns for each kind of vectors its neighbours and its precision at 1.

    Args:
        kinds: Arrays of shape (N, any width), by name.
        labels: N labels.

    Returns:
        By name: the neighbours once the mean was subtracted, the precision before that, and after.
    """
    found = {}
    for name, vectors in kinds.items():
        centred = nearest(vectors, subtract_mean=True)
        raw = precision_at_1(nearest(vectors), labels)
        found[name] = (centred, raw, precision_at_1(centred, labels))
    return found


def tell_confused(neighbours: NDArray[np.intp], labels: Sequence[str]) -> list[str]:
    """Returns a line for each pair of labels that neighbours have most often instead of one."""
    pairs = Counter(
        (mine, labels[other])
        for mine, other in zip(labels, neighbours, strict=True)
        if mine != labels[other]
    )
    shown = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST_SHOWN]
    return [f"  {count:3} x {mine} -> {other}" for (mine, other), count in shown]


def main(argv: Sequence[str] | None = None) -> None:
    """Compares an output with composition, and prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", metavar="OUT", help="the --output of a run")
    parser.add_argument("fasta", metavar="FASTA", help="what was embedded")
    parser.add_argument(
        "labels", metavar="TSV", help="a table with tabs, a line of names first, then ids first"
    )
    parser.add_argument(
        "--column", default="family", help="column of the labels (default: %(default)s)"
    )
    options = parser.parse_args(argv)
    try:
        vectors = read_vectors(options.output)
        sequences = read_sequences(options.fasta)
        labelled = read_labels(options.labels, options.column)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    found_labels = {name: look_up(labelled, name) for name in sequences if name in vectors}
    ids = [name for name, label in found_labels.items() if label]
    if len(ids) < 2:
        all_ids = {"OUT": vectors, "FASTA": sequences, "TSV": labelled}
        firsts = (f"{name} has {next(iter(held), 'none')}" for name, held in all_ids.items())
        parser.error(
            "fewer than two proteins are in all of OUT, FASTA and TSV: compare their ids. "
            f"The first of each: {', '.join(firsts)}"
        )
    labels = [str(found_labels[name]) for name in ids]
    texts = [sequences[name] for name in ids]
    kinds = {
        f"vectors of {options.output}": np.stack([vectors[name] for name in ids]),
        "amino-acid composition": composition(texts),
        "dipeptide composition": composition(texts, 2),
    }
    found = compare(kinds, labels)
    width = max(map(len, kinds))
    print(f"{len(ids)} proteins in {len(set(labels))} families. Nearest one of the same family:")
    print(f"{'':{width}}    raw  mean subtracted")
    for name, (_, raw, centred) in found.items():
        print(f"{name:{width}}  {raw:5.3f}  {centred:5.3f}")
    print(f"{'drawn at random':{width}}  {by_chance(labels):5.3f}")
    first = next(iter(found))
    print(f"What the {first} take for another, mean subtracted:")
    print("\n".join(tell_confused(found[first][0], labels)) or "  nothing")


if __name__ == "__main__":
    main()
