"""How far vectors are from the reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.peer import Vectors


def write_vectors(path: Path, vectors: Vectors) -> None:
    """Writes the vectors of a measured process."""
    matrix = np.stack([np.asarray(vector, np.float32) for vector in vectors.values()])
    np.savez(path, ids=np.array(list(vectors)), vectors=matrix)


def read_vectors(path: Path) -> Vectors:
    """Reads them, by id."""
    with np.load(path) as content:
        return dict(zip(content["ids"].tolist(), content["vectors"], strict=True))


def compare(vectors: Vectors, references: Vectors) -> dict[str, float]:
    """Compares the vectors of those ids that have a reference.

    Returns:
        ``worst_difference``: the largest absolute difference, on references scaled to unit RMS;
        ``least_cosine``; and ``compared``, how many there were. The first two are NaN for none.
    """
    differences, cosines = [], []
    for name in references.keys() & vectors.keys():
        reference = np.asarray(references[name], np.float64)
        vector = np.asarray(vectors[name], np.float64)
        rms = np.sqrt((reference**2).mean())
        differences.append(float(np.abs(vector - reference).max() / rms))
        norms = np.linalg.norm(vector) * np.linalg.norm(reference)
        cosines.append(float(vector @ reference / norms))
    return {
        # Of numpy, which hands a NaN on where max and min may pass over it.
        "worst_difference": float(np.max(differences, initial=0.0)) if differences else np.nan,
        "least_cosine": float(np.min(cosines)) if cosines else np.nan,
        "compared": len(differences),
    }
