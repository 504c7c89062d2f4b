"""scikit-learn: what a linear probe learns from the vectors, and what from composition alone.

    python examples/analytics/sklearn_probe.py out labels.tsv proteins.faa

Identical sequences are never on both sides of a split. For relatives not to be either, cluster
first, ``mmseqs easy-cluster proteins.faa c tmp --min-seq-id 0.4``, and add
``--clusters c_cluster.tsv``.
"""

from __future__ import annotations

import argparse
import csv
import hashlib

import numpy as np
from committed_parts import committed_parts
from labels import look_up, opened, read_labels
from pandas_frame import load
from sklearn.base import ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"


def read_compositions(fasta: str) -> dict[str, list[float]]:
    """Returns the share of each amino acid, by the SHA-256 that a row has of its sequence."""
    found = {}
    # A header may have a > of its own.
    with opened(fasta) as handle:
        records = f"\n{handle.read()}".split("\n>")[1:]
    for record in records:
        # Rows have the hash of what the residue policy left: --residues clean does this.
        sequence = "".join(record.splitlines()[1:]).upper().removesuffix("*").replace("J", "X")
        shares = [sequence.count(letter) / max(len(sequence), 1) for letter in AMINO_ACIDS]
        found[hashlib.sha256(sequence.encode()).hexdigest()] = shares
    return found


def read_clusters(path: str) -> dict[str, str]:
    """Returns the cluster of each id, from the TSV of representative and member of MMseqs2."""
    with opened(path) as handle:
        rows = csv.reader(handle, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {member: name for name, member in rows}


def probe(
    model: ClassifierMixin, x: np.ndarray, y: np.ndarray, groups: np.ndarray, folds: int
) -> np.ndarray:
    """Returns the accuracy on each fold, of what was learned on the others."""
    split = StratifiedGroupKFold(folds, shuffle=True, random_state=0)
    # The scaler is part of what is learned: one that has seen the fold would leak.
    return cross_val_score(make_pipeline(StandardScaler(), model), x, y, groups=groups, cv=split)


def main() -> None:
    """Prints the accuracy of three classifiers on the same splits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", metavar="OUTPUT", type=committed_parts)
    parser.add_argument("labels", type=read_labels, help="TSV: id, label")
    parser.add_argument("compositions", metavar="FASTA", type=read_compositions)
    parser.add_argument("--clusters", type=read_clusters, default={})
    parser.add_argument("--folds", type=int, default=5)
    args = parser.parse_args()
    frame, vectors = load(args.parts)
    frame["label"] = look_up(args.labels, frame["id"], frame["accession"])
    # MMseqs2 names what comes from UniProt by its accession.
    frame["group"] = look_up(args.clusters, frame["id"], frame["accession"])
    frame["group"] = frame["group"].fillna(frame["sequence_sha256"])
    rows = frame[frame["label"].notna() & frame["sequence_sha256"].isin(args.compositions)]
    print(f"{len(rows)} of {len(frame)} rows have a label, and their sequence is in the FASTA")
    without = args.labels.keys() - set(frame["id"]) - set(frame["accession"])
    print(f"labels without a row, of proteins that failed or were never given: {len(without)}")
    # A label needs a group for each fold, or there is a fold on which it cannot be tested.
    rows = rows[rows.groupby("label")["group"].transform("nunique") >= args.folds]
    if rows["label"].nunique() < 2:
        parser.error(f"fewer than two labels have {args.folds} groups; give fewer --folds")
    print(f"{len(rows)} of them, in {rows['group'].nunique()} groups, have a label with "
          f"{args.folds} groups: {rows['label'].nunique()} labels")  # fmt: skip
    x = vectors[rows.index]
    composition = np.array([args.compositions[digest] for digest in rows["sequence_sha256"]])
    for name, model, features in [
        ("the most frequent label", DummyClassifier(), x),
        ("amino-acid composition", LogisticRegression(max_iter=1000), composition),
        (f"vectors of {rows['model_id'].iat[0]}", LogisticRegression(max_iter=1000), x),
    ]:
        accuracy = probe(model, features, rows["label"].to_numpy(), rows["group"], args.folds)
        print(f"{accuracy.mean():.3f} ± {accuracy.std():.3f}  {name}")


if __name__ == "__main__":
    main()
