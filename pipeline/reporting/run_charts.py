"""Pictures of how an output was made: growth, speed, batches, and what failed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np

from pipeline.failures import MOST_SHOWN
from pipeline.reporting.chart import Chart, count_on
from pipeline.reporting.colours import ALARM, INK, MAIN
from pipeline.reporting.findings import Findings
from transforms.text import duration, printable

_MOST_KINDS, _LONGEST_KIND = 12, 40
_MOST_DOTS = 100
_A_MINUTE = timedelta(minutes=1)
_SHORT_SECONDS = 10
_TIME = "%Y-%m-%d %H:%M:%S"


def growth_chart(found: Findings) -> Chart:
    """Rows committed by time, over all runs."""
    name, title = "growth", "Proteins committed over time"
    growth = found.growth
    if not growth.times:
        return Chart(name, title, "Nothing is committed yet.")
    first, last = growth.times[0], growth.times[-1]
    span = duration((last - first).total_seconds())
    if last - first < _A_MINUTE:
        told = f"{growth.rows[-1]:,} proteins, all of them within a minute of {first:{_TIME}} UTC."
        return Chart(name, title, told)

    def draw(axes: Any) -> None:
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        style = {"step": "post", "color": MAIN}
        axes.fill_between(growth.times, growth.rows, alpha=0.12, linewidth=0, **style)
        axes.step(growth.times, growth.rows, where="post", color=MAIN, linewidth=1.6)
        if len(growth.times) <= _MOST_DOTS:
            axes.plot(growth.times, growth.rows, ".", color=MAIN, markersize=5)
        locator = AutoDateLocator(minticks=3, maxticks=7)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axes.set_ylim(0, growth.rows[-1] * 1.08)
        count_on(axes.yaxis)

    caption = (
        f"{growth.rows[-1]:,} proteins in {span} from the first commit, "
        f"{first:{_TIME}} UTC, to the last. A step is a part as it was committed; parts "
        "that were merged since count at the time of the latest of them."
    )
    return Chart(name, title, caption, draw, "UTC", "proteins")


def speed_chart(found: Findings) -> Chart:
    """Residues a second, over the last run."""
    name, title = "speed", "Speed of the last run"
    pace = found.pace
    if pace is None or not any(pace.residues):
        return Chart(name, title, _why_no_pace(found))
    rates = np.array(pace.residues) / pace.span
    times = np.arange(len(rates) + 1) * pace.span
    if times[-1] < _SHORT_SECONDS:
        told = f"Not told of {duration(times[-1])}: of so short a run much was not the model."
        return Chart(name, title, told)
    unit, scale = _time_unit(times[-1])
    busy = rates[rates > 0]

    def draw(axes: Any) -> None:
        axes.stairs(rates, times / scale, fill=True, color=MAIN, alpha=0.85)
        axes.set_xlim(0, times[-1] / scale)
        axes.yaxis.set_major_formatter("{x:,.0f}")

    caption = (
        f"While the model was at work, half of the time {np.median(busy):,.0f} residues a second "
        f"or more. Each bar is {pace.span:g} s; residues count when their vectors are there. Gaps "
        "are times in which nothing was embedded."
    )
    return Chart(name, title, caption, draw, f"{unit} since it began", "residues/s")


def batches_chart(found: Findings) -> Chart:
    """How full batches were, and in words how much of what was computed was padding."""
    name, title = "batches", "Batch fill of the last run"
    told = []
    if (computed := found.computed) and (tokens := computed.tokens + computed.padding):
        told.append(
            f"{computed.padding / tokens:.1%} of {tokens:,} computed tokens were padding, in "
            f"{computed.passes:,} passes of {tokens / max(computed.passes, 1):,.0f} tokens on "
            "average."
        )
    pace = found.pace
    if pace is None or not (batches := sum(pace.fill)):
        return Chart(name, title, " ".join([_why_no_pace(found), *told]))
    told.insert(0, f"{pace.fill[-1]:,} of {batches:,} batches were nine tenths full or more.")

    def draw(axes: Any) -> None:
        axes.bar(np.arange(len(pace.fill)) * 10 + 5, pace.fill, width=9, color=MAIN)
        axes.set_xlim(0, 100)
        count_on(axes.yaxis)

    across = "tokens of a batch, % of its budget"
    return Chart(name, title, " ".join(told), draw, across, "batches")


def failures_chart(found: Findings) -> Chart:
    """Dead letters by reason."""
    name, title = "dead_letters", "Dead letters by reason"
    if not found.overview.failures:
        return Chart(name, title, "")
    kinds = [
        (printable(f"{each.first.error_type} ({each.first.stage})", _LONGEST_KIND), each.count)
        for each in found.overview.failures
    ]
    shown, rest = kinds[:_MOST_KINDS], sum(count for _, count in kinds[_MOST_KINDS:])
    if rest:
        shown.append(("others", rest))
    total = sum(count for _, count in kinds)

    def draw(axes: Any) -> None:
        at = np.arange(len(shown))[::-1]  # numbers: names may be the same when they are cut
        bars = axes.barh(at, [count for _, count in shown], color=ALARM, height=0.6)
        axes.bar_label(bars, [f"{count:,}" for _, count in shown], padding=4, color=INK)
        axes.set_yticks(at, [kind for kind, _ in shown])
        axes.tick_params(axis="y", labelcolor=INK)
        axes.grid(visible=False)
        axes.spines["bottom"].set_visible(False)
        axes.set_xticks([])
        axes.set_ylim(-max(len(shown) * 0.1, 0.8), len(shown) - 0.2)
        axes.margins(x=0.12)

    first = printable(found.overview.failures[0].first.error_type, MOST_SHOWN)
    told = f"; the most frequent reason is {first}" * (len(kinds) > 1 and kinds[0][1] > kinds[1][1])
    caption = f"{total:,} in all{told}. Examples are below."
    return Chart(name, title, caption, draw, size=(5.6, max(2.8, 1.0 + 0.3 * len(shown))))


def _why_no_pace(found: Findings) -> str:
    """Returns why it cannot be told how fast the last run went."""
    report = found.overview.run_report
    if not report:
        return (
            "Not known yet: there is no run_report.json, which a run writes at its end and a watch "
            "after its rounds."
        )
    if report.get("shards"):
        return "Not known of an output that shards have made: each measures only itself."
    if not report.get("metrics"):
        return "Not known: the last run had nothing to embed."
    return (
        "Not known: the last run was on an engine whose workers are other processes, or of a "
        "version that did not keep it."
    )


def _time_unit(seconds: float) -> tuple[str, float]:
    """Returns in what a time is told, and how many seconds that is."""
    if seconds < 300:
        return "seconds", 1
    return ("minutes", 60) if seconds < 3 * 3600 else ("hours", 3600)
