"""Pictures of how an output was made: growth, speed, batches, and what failed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np

from pipeline.failures import MOST_SHOWN
from pipeline.listening.pace import FILL_STEPS
from pipeline.reporting.chart import Chart, count_on
from pipeline.reporting.findings import Findings
from pipeline.reporting.past import Computed, RunPace
from pipeline.reporting.scheme import Scheme
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
        return Chart(name, title, "Nothing is committed yet.", None)
    first, last = growth.times[0], growth.times[-1]
    span = duration((last - first).total_seconds())
    if last - first < _A_MINUTE:
        told = f"{growth.rows[-1]:,} proteins, all of them within a minute of {first:{_TIME}} UTC."
        return Chart(name, title, told, None)

    def draw(figure: Any, scheme: Scheme) -> None:
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        axes = figure.subplots()
        style = {"step": "post", "color": scheme.main}
        axes.fill_between(growth.times, growth.rows, alpha=0.12, linewidth=0, **style)
        axes.step(growth.times, growth.rows, where="post", color=scheme.main, linewidth=1.6)
        if len(growth.times) <= _MOST_DOTS:
            axes.plot(growth.times, growth.rows, ".", color=scheme.main, markersize=5)
        locator = AutoDateLocator(minticks=3, maxticks=7)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axes.set_ylim(0, growth.rows[-1] * 1.08)
        count_on(axes.yaxis)
        axes.set_xlabel("UTC")
        axes.set_ylabel("proteins")

    caption = (
        f"{growth.rows[-1]:,} proteins in {span} from the first commit, "
        f"{first:{_TIME}} UTC, to the last. A step is a part as it was committed; parts "
        "that were merged since count at the time of the latest of them."
    )
    return Chart(name, title, caption, draw)


def speed_chart(found: Findings) -> Chart:
    """Residues a second, over the last run."""
    name, title = "speed", "Speed of the last run"
    pace = found.pace
    if pace is None or not any(pace.residues):
        return Chart(name, title, _why_no_pace(found), None)
    rates = np.array(pace.residues) / pace.span
    times = np.arange(len(rates) + 1) * pace.span
    if times[-1] < _SHORT_SECONDS:
        told = f"Not told of {duration(times[-1])}: of so short a run much was not the model."
        return Chart(name, title, told, None)
    unit, scale = _time_unit(times[-1])
    busy = rates[rates > 0]

    def draw(figure: Any, scheme: Scheme) -> None:
        axes = figure.subplots()
        axes.stairs(rates, times / scale, fill=True, color=scheme.main, alpha=0.85)
        axes.set_xlim(0, times[-1] / scale)
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.set_xlabel(f"{unit} since it began")
        axes.set_ylabel("residues/s")

    caption = (
        f"While the model was at work, half of the time {np.median(busy):,.0f} residues a second "
        f"or more. Each bar is {pace.span:g} s; residues count when their vectors are there. Gaps "
        "are times in which nothing was embedded."
    )
    return Chart(name, title, caption, draw)


def batches_chart(found: Findings) -> Chart:
    """How full batches were, and how much of what was computed was padding."""
    name, title = "batches", "Batch fill and padding of the last run"
    pace, computed = found.pace, found.computed
    if (pace is None or not any(pace.fill)) and computed is None:
        return Chart(name, title, _why_no_pace(found), None)

    def draw(figure: Any, scheme: Scheme) -> None:
        upper, lower = figure.subplots(2, 1, height_ratios=(3, 1))
        _draw_fill(upper, pace, scheme)
        _draw_padding(lower, computed, scheme)

    told = []
    if pace is not None and (batches := sum(pace.fill)):
        told.append(f"{pace.fill[-1]:,} of {batches:,} batches were nine tenths full or more.")
    if computed is not None and (all_tokens := computed.tokens + computed.padding):
        share = computed.padding / all_tokens
        told.append(
            f"{100 * share:.1f} % of {all_tokens:,} computed tokens were padding, in "
            f"{computed.passes:,} passes of {all_tokens / max(computed.passes, 1):,.0f} tokens on "
            "average."
        )
    return Chart(name, title, " ".join(told) or _why_no_pace(found), draw)


def _draw_fill(axes: Any, pace: RunPace | None, scheme: Scheme) -> None:
    fill = pace.fill if pace else (0,) * FILL_STEPS
    axes.bar(np.arange(len(fill)) * 10 + 5, fill, width=9, color=scheme.main)
    axes.set_xlim(0, 100)
    axes.set_xlabel("tokens of a batch, % of its budget")
    axes.set_ylabel("batches")
    count_on(axes.yaxis)


def _draw_padding(axes: Any, computed: Computed | None, scheme: Scheme) -> None:
    axes.set_axis_off()
    if computed is None or not (total := computed.tokens + computed.padding):
        return
    used = 100 * computed.tokens / total
    axes.barh([0], [used], height=0.8, color=scheme.main)
    axes.barh([0], [100 - used], left=[used], height=0.8, color=scheme.alarm)
    axes.set_xlim(0, 100)
    axes.set_ylim(-1.6, 0.6)
    axes.text(0, -0.6, f"sequences {used:.1f} %", va="top", color=scheme.muted)
    axes.text(100, -0.6, f"padding {100 - used:.1f} %", va="top", ha="right", color=scheme.muted)


def failures_chart(found: Findings) -> Chart:
    """Dead letters by reason."""
    name, title = "dead_letters", "Dead letters by reason"
    if not found.failures:
        return Chart(name, title, "", None)
    kinds = [
        (printable(f"{each.first.error_type} ({each.first.stage})", _LONGEST_KIND), each.count)
        for each in found.failures
    ]
    shown, rest = kinds[:_MOST_KINDS], sum(count for _, count in kinds[_MOST_KINDS:])
    if rest:
        shown.append(("others", rest))
    total = sum(count for _, count in kinds)

    def draw(figure: Any, scheme: Scheme) -> None:
        axes = figure.subplots()
        at = np.arange(len(shown))[::-1]  # numbers: names may be the same when they are cut
        bars = axes.barh(at, [count for _, count in shown], color=scheme.alarm, height=0.6)
        axes.bar_label(bars, [f"{count:,}" for _, count in shown], padding=4, color=scheme.ink)
        axes.set_yticks(at, [kind for kind, _ in shown])
        axes.tick_params(axis="y", labelcolor=scheme.ink)
        axes.grid(visible=False)
        axes.spines["bottom"].set_visible(False)
        axes.set_xticks([])
        axes.set_ylim(-max(len(shown) * 0.1, 0.8), len(shown) - 0.2)
        axes.margins(x=0.12)

    first = printable(found.failures[0].first.error_type, MOST_SHOWN)
    told = f"; the most frequent reason is {first}" * (len(kinds) > 1 and kinds[0][1] > kinds[1][1])
    caption = f"{total:,} in all{told}. Examples are below."
    return Chart(name, title, caption, draw, (5.6, max(2.8, 1.0 + 0.3 * len(shown))))


def _why_no_pace(found: Findings) -> str:
    """Returns why it cannot be told how fast the last run went."""
    if not found.run_report:
        return (
            "Not known yet: there is no run_report.json, which a run writes at its end and a watch "
            "after its rounds."
        )
    if found.run_report.get("shards"):
        return "Not known of an output that shards have made: each measures only itself."
    if not found.run_report.get("metrics"):
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
