"""What an output tells of the time in which it was made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from transforms.output.commits import PartRecord

MOST_STEPS = 1_000


@dataclass(frozen=True, slots=True)
class Growth:
    """How many rows there were at which time.

    Attributes:
        times: Of commits, ascending.
        rows: How many rows were committed by then.
    """

    times: tuple[datetime, ...]
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RunPace:
    """How fast the last run went, and how full its batches were.

    See :mod:`pipeline.listening.pace`.

    Attributes:
        span: Seconds of each span of time.
        residues: Embedded in each of them.
        fill: How many batches were up to a tenth full, up to two tenths, and so on.
    """

    span: float
    residues: tuple[int, ...]
    fill: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Computed:
    """What the model computed in the last run.

    Attributes:
        passes: How often it was run.
        tokens: Tokens of sequences, with BOS and EOS.
        padding: Tokens beside them, to fill up.
    """

    passes: int
    tokens: int
    padding: int


def find_growth(parts: Iterable[PartRecord]) -> Growth:
    """Returns how the rows of parts have come, in at most 1,000 steps."""
    ordered = sorted((datetime.fromisoformat(part.time), part.rows) for part in parts)
    rows, reached = [], 0
    for _, added in ordered:
        reached += added
        rows.append(reached)
    stride = -(-len(ordered) // MOST_STEPS) or 1
    kept = range(len(ordered) - 1, -1, -stride)[::-1]  # the last one too
    return Growth(tuple(ordered[at][0] for at in kept), tuple(rows[at] for at in kept))


def find_pace(report: Mapping[str, Any]) -> RunPace | None:
    """Returns how fast a run went by its report; None where that does not tell."""
    try:
        pace = report["pace"]
        found = RunPace(
            float(pace["span_seconds"]), _counts(pace["residues"]), _counts(pace["batch_fill"])
        )
    except (KeyError, TypeError, ValueError):
        return None
    return found if found.span > 0 else None


def find_computed(report: Mapping[str, Any]) -> Computed | None:
    """Returns what the model computed in a run by its report; None where that does not tell."""
    try:
        metrics = report["metrics"]
        return Computed(
            int(metrics["passes"]), int(metrics["tokens"]), int(metrics.get("padding_tokens", 0))
        )
    except (KeyError, TypeError, ValueError):
        return None


def _counts(values: Sequence[Any]) -> tuple[int, ...]:
    return tuple(max(int(value), 0) for value in values)
