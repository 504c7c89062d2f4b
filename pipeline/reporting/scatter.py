"""The map as data for the page's script, which draws it and answers to the pointer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.reporting.findings import Map
from pipeline.reporting.groups import COLOURS, Groups
from pipeline.reporting.projection import Projection
from transforms.arrays import Doubles
from transforms.text import printable

WIDTH, HEIGHT, MARGIN = 1000, 540, 24
"""Of the drawing, in its own units."""

_LONGEST_TEXT = 120
_TAIL, _SQUEEZED = 0.005, 1.6


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
                "points": np.round(points, 1).tolist(),
                "beyond": beyond,
            }
            for each in shown.projections
            for points, beyond in [place(each.points)]
        ],
        "ids": _texts(shown.sample.column("id")),
        "descriptions": _texts(shown.sample.column("description")),
        "lengths": shown.sample.column("sequence_length"),
        "files": _texts(files),
        "file": [file_places[name] for name in shown.sample.column("source")],
        "groups": _texts(names),
        "group": [-1 if group is None else places[group] for group in shown.groups],
        "colour": list(groups.numbers),
        "colours": COLOURS,
    }


def axis_names(projection: Projection) -> tuple[str, str]:
    """Returns what the two axes are called."""
    if not projection.shares:
        return f"{projection.name} 1", f"{projection.name} 2"
    first, second = (f"{100 * share:.1f} % of variance" for share in projection.shares)
    return f"PC 1: {first}", f"PC 2: {second}"


def place(points: Doubles) -> tuple[Doubles, int]:
    """Returns points as they lie in the drawing: each axis as long as there is room.

    A few that lie so far off that the others would be squeezed into a part of it are drawn at the
    edge.

    Args:
        points: Array of shape (n, 2), its second axis upwards.

    Returns:
        float64 array of shape (n, 2), its second axis downwards, and how many are drawn at the edge
        though they lie beyond.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    inner = np.quantile(points, [_TAIL, 1 - _TAIL], axis=0)
    is_squeezed = high - low > _SQUEEZED * (inner[1] - inner[0])
    low, high = np.where(is_squeezed, inner[0], low), np.where(is_squeezed, inner[1], high)
    beyond = int(((points < low) | (points > high)).any(axis=1).sum())
    points = np.clip(points, low, high)
    room = np.array([WIDTH, HEIGHT]) - 2 * MARGIN
    scale = np.divide(room, high - low, out=np.zeros(2), where=high > low)
    centred = (points - (low + high) / 2) * scale
    return centred * np.array([1, -1]) + np.array([WIDTH, HEIGHT]) / 2, beyond


def _texts(values: Sequence[str | None]) -> list[str]:
    return [printable(value or "", _LONGEST_TEXT) for value in values]
