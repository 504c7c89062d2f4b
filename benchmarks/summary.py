"""What follows from what was measured: speeds, shares of the ceiling, the worst of the vectors."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.mixes import cut
from benchmarks.weights import Shape

_RATIOS = {
    "ratio_to_ours": "residues_per_second",
    "ratio_by_cpu_time": "residues_per_cpu_second",
}


def describe_input(
    sequences: Sequence[str], shape: Shape, ceilings: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    """Returns what there is to do, and what the machine could do of it.

    Args:
        sequences: The input.
        shape: Of the model.
        ceilings: Floating-point operations a second, as often as they were measured, by name.
    """
    lengths = [len(sequence) for sequence in cut(sequences)]
    unique = [len(sequence) for sequence in set(cut(sequences))]
    return {
        "records": len(sequences),
        "residues": sum(lengths),
        "unique_residues": sum(unique),
        "flops": shape.count_flops(lengths),
        "unique_flops": shape.count_flops(unique),
        "flops_per_second": {name: statistics.median(each) for name, each in ceilings.items()},
    }


def summarise(
    rounds: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Returns the medians of an entry's rounds, and the worst of its vectors; None for no round.

    Args:
        rounds: What was measured.
        facts: As :func:`describe_input` returns them.
    """
    if not rounds:
        return None

    def median(name: str) -> float:
        return statistics.median(run[name] for run in rounds)

    seconds = median("seconds")
    cuda = [run["peak_cuda_mb"] for run in rounds if run["peak_cuda_mb"] is not None]
    return {
        "residues_per_second": facts["residues"] / seconds,
        "spread": max(run["seconds"] for run in rounds) / min(run["seconds"] for run in rounds),
        "residues_per_cpu_second": facts["residues"] / median("cpu_seconds"),
        "share_in_model": statistics.median(
            run["forward_seconds"] / run["seconds"] for run in rounds
        ),
        "padding": 1 - median("tokens") / median("slots"),
        "peak_mb": max(run["peak_mb"] for run in rounds),
        "peak_cuda_mb": max(cuda, default=None),
        "worst_difference": max(run["worst_difference"] for run in rounds),
        "least_cosine": min(run["least_cosine"] for run in rounds),
        "without_vector": facts["records"] - min(run["vectors"] for run in rounds),
        # Of all records, and of distinct sequences only.
        "shares": {
            name: (facts["flops"] / seconds / flops, facts["unique_flops"] / seconds / flops)
            for name, flops in facts["flops_per_second"].items()
        },
    }


def add_ratios(summary: dict[str, Any] | None, ours: Mapping[str, Any] | None) -> None:
    """Adds to a summary how it compares with ours, if there are both."""
    if summary and ours:
        for ratio, speed in _RATIOS.items():
            summary[ratio] = summary[speed] / ours[speed]
