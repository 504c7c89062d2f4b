"""The map as data for the page's script, which draws it and answers to the pointer."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.reporting.findings import Map
from pipeline.reporting.groups import Groups
from pipeline.reporting.projection import Numbers, Projection
from transforms.text import printable

WIDTH, HEIGHT, MARGIN = 1000, 600, 24
"""Of the drawing, in its own units."""

_LONGEST_TEXT = 120


def map_data(shown: Map, groups: Groups) -> dict[str, Any]:
    """Returns what the script is given, as plain values.

    Texts are made printable here; the script writes them as text, never as markup.
    """
    names = sorted({group for group in shown.groups if group is not None})
    places = {name: place for place, name in enumerate(names)}
    files = sorted(set(shown.sample.column("source")))
    file_places = {name: place for place, name in enumerate(files)}
    return {
        "by": groups.by,
        "size": [WIDTH, HEIGHT],
        "projections": [
            {
                "name": each.name,
                "axes": axis_names(each),
                "points": np.round(place(each.points), 1).tolist(),
            }
            for each in shown.projections
        ],
        "ids": _texts(shown.sample.column("id")),
        "descriptions": _texts(shown.sample.column("description")),
        "lengths": shown.sample.column("sequence_length"),
        "files": _texts(files),
        "file": [file_places[name] for name in shown.sample.column("source")],
        "groups": _texts(names),
        "group": [-1 if group is None else places[group] for group in shown.groups],
        "colour": list(groups.numbers),
    }


def axis_names(projection: Projection) -> list[str]:
    """Returns what the two axes are called."""
    if not projection.shares:
        return [f"{projection.name} {axis}" for axis in (1, 2)]
    return [f"PC {axis}: {share:.1%} of variance" for axis, share in enumerate(projection.shares, 1)]


def place(points: Numbers) -> Numbers:
    """Returns points as they lie in the drawing: as large as fits, both axes at one scale.

    Args:
        points: Array of shape (n, 2), its second axis upwards.

    Returns:
        float64 array of shape (n, 2), its second axis downwards.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    room = np.array([WIDTH, HEIGHT]) - 2 * MARGIN
    span = np.where(high > low, high - low, np.finfo(np.float64).tiny)
    scale = float(np.min(room / span)) if (high > low).any() else 0.0
    centred = (points - (low + high) / 2) * scale
    return centred * np.array([1, -1]) + np.array([WIDTH, HEIGHT]) / 2


def _texts(values: list[str | None]) -> list[str]:
    return [printable(value or "", _LONGEST_TEXT) for value in values]
