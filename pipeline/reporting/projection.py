"""Vectors as points of a plane."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.reporting.closeness import Closeness
from transforms.arrays import Doubles

FEWEST_FOR_UMAP = 10


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """Points of a plane.

    Attributes:
        name: ``PCA`` or ``UMAP``.
        points: float64 array of shape (n, 2).
        shares: What of the variance the two axes hold; empty where that means nothing.
    """

    name: str
    points: Doubles
    shares: tuple[float, ...] = ()


def project_pca(vectors: np.ndarray[Any, Any]) -> Projection:
    """Projects vectors onto their first two principal components.

    As in scikit-learn: of the centred vectors, not scaled, and the sign of a component is such that
    its greatest loading is positive.

    Args:
        vectors: Array of shape (n, D), n at least 1.
    """
    centred = vectors.astype(np.float64)
    centred -= centred.mean(axis=0)
    rows, dim = centred.shape
    # Of the two matrices that have the same eigenvalues the smaller one.
    by_rows = rows < dim
    values, found = np.linalg.eigh(centred @ centred.T if by_rows else centred.T @ centred)
    values, found = np.maximum(values[::-1], 0), found[:, ::-1]
    total = values.sum()
    points, shares = np.zeros((rows, 2)), [0.0, 0.0]
    for axis in range(min(2, len(values))):
        if values[axis] <= total * np.finfo(np.float64).eps:
            continue  # nothing varies along it
        component = centred.T @ found[:, axis] if by_rows else found[:, axis]
        component = component / np.linalg.norm(component)
        component *= np.sign(component[np.argmax(np.abs(component))])
        points[:, axis] = centred @ component
        shares[axis] = float(values[axis] / total)
    return Projection("PCA", points, tuple(shares))


def project_umap(vectors: np.ndarray[Any, Any], closeness: Closeness | None) -> Projection | None:
    """Lays vectors out by their neighbours; None without umap-learn, or where there are too few.

    Args:
        vectors: Array of shape (n, D).
        closeness: The neighbours of each; None where there are no two.
    """
    if closeness is None or len(vectors) < FEWEST_FOR_UMAP:
        return None
    try:
        import umap
    except ImportError:
        return None
    # To it each is its own nearest. Given exact neighbours it need not compile what looks for them.
    itself = np.arange(len(vectors))[:, None]
    neighbours = np.hstack([itself, closeness.neighbours])
    distances = np.hstack([np.zeros(itself.shape), 1 - closeness.cosines]).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a seed costs it its threads, which it says
        layout = umap.UMAP(
            n_neighbors=neighbours.shape[1],  # 15, its default, unless there are fewer rows
            metric="cosine",
            random_state=0,
            precomputed_knn=(neighbours, distances),
            force_approximation_algorithm=True,  # else it computes all distances of few rows anew
        )
        points = layout.fit_transform(vectors).astype(np.float64)
    return Projection("UMAP", np.nan_to_num(points, posinf=0, neginf=0))
