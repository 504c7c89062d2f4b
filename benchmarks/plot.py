"""Results as a bar chart; needs the extra ``bench``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.entries import ENTRIES, OURS


def plot(result: Mapping[str, Any], path: Path) -> Path:
    """Draws residues a second, a panel for each input and a bar for each entry.

    Args:
        result: As ``python -m benchmarks peers`` writes it.
        path: Where the picture goes.

    Returns:
        ``path``.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    mixes = result["mixes"]
    figure = Figure(figsize=(7 * len(mixes), 5), layout="constrained")
    panels = figure.subplots(1, len(mixes), squeeze=False)[0]
    for panel, (mix, content) in zip(panels, mixes.items(), strict=True):
        names = list(content["entries"])[::-1]
        summaries = [content["entries"][name]["summary"] for name in names]
        speeds = [summary["residues_per_second"] if summary else 0 for summary in summaries]
        colours = ["tab:blue" if name.startswith(OURS) else "tab:gray" for name in names]
        bars = panel.barh([ENTRIES[name].label for name in names], speeds, color=colours)
        panel.bar_label(
            bars, [f"{speed:,.0f}" if speed else "not measured" for speed in speeds], padding=3
        )
        panel.set_title(f"{mix}: {content['records']:,} records")
        panel.set_xlabel("residues/s")
        panel.margins(x=0.2)
    figure.suptitle(f"ESM-2 {result['shape']}, {result['dtype']} on {result['device']}")
    figure.savefig(path, dpi=120)
    return path
