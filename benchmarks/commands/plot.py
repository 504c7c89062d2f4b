"""The table of a result of ``peers``, printed, put into a page, and drawn as a bar chart."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.entries import ENTRIES, OURS
from benchmarks.keeping import Kept
from benchmarks.table import fill_page, format_peers


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    parser.add_argument("result", type=Path, metavar="FILE.json", help="the last run in it counts")
    parser.add_argument("--page", type=Path, metavar="FILE.md", help="put the tables in there too")


def run(options: argparse.Namespace, kept: Kept) -> int:
    """Prints and draws a result of an earlier run."""
    try:
        result = json.loads(options.result.read_text())[-1]
    except (OSError, ValueError, IndexError) as error:
        print(f"{options.result} holds no result: {error}", file=sys.stderr)
        return 2
    show(result, options.result)
    if options.page:
        options.page.write_text(fill_page(options.page.read_text(), result))
    return 0


def show(result: Mapping[str, Any], path: Path) -> None:
    """Prints a run of ``peers``, and draws it beside the file that holds it."""
    print(format_peers(result))
    try:
        picture = draw(result, path.with_suffix(".png"))
    except ImportError as error:
        print(f"No picture: {error}. pip install '.[bench]'", file=sys.stderr)
    else:
        print(f"See {picture}.", file=sys.stderr)


def draw(result: Mapping[str, Any], path: Path) -> Path:
    """Draws residues a second, a panel for each input and a bar for each entry.

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
    options = result["options"]
    figure.suptitle(f"ESM-2 {options['shape']}, {result['dtype']} on {options['device']}")
    figure.savefig(path, dpi=120)
    return path
