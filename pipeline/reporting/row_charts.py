"""Pictures of the rows of an output: lengths, norms, dimensions, neighbours, and the map."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.reporting.chart import Chart, count_on
from pipeline.reporting.extremes import Extreme
from pipeline.reporting.findings import Findings
from pipeline.reporting.groups import COLOURS, SHAPES, Groups
from pipeline.reporting.histogram import Bars
from pipeline.reporting.outliers import LIMIT, modified_z
from pipeline.reporting.scatter import axis_names
from pipeline.reporting.scheme import Scheme
from transforms.text import counted

NO_ROWS = "No protein is embedded yet."

_MOST_BARS, _TAIL = 48, 0.005
_MOST_DIMENSIONS_NAMED = 8
_MARKERS = "os^D"  # SHAPES of them


def lengths_chart(found: Findings) -> Chart:
    """Lengths of the sequences."""
    name, title = "lengths", "Sequence lengths"
    lengths = found.survey.lengths
    if not lengths.total:
        return Chart(name, title, NO_ROWS, None)
    bars = lengths.bars(_MOST_BARS, _TAIL, are_whole=True)
    median = lengths.quantile(0.5)

    def draw(figure: Any, scheme: Scheme) -> None:
        axes = figure.subplots()
        _draw_bars(axes, bars, scheme)
        _mark(axes, median, f"median {median:,.0f}", scheme)
        axes.set_xlabel("residues")
        axes.set_ylabel("proteins")

    caption = (
        f"From {lengths.quantile(0):,.0f} to {lengths.quantile(1):,.0f} residues, half of them "
        f"{median:,.0f} or less. {_beyond(bars)}"
        f"{counted(found.survey.truncated, 'protein') or 'None'} truncated before the model."
    )
    return Chart(name, title, caption, draw)


def norms_chart(found: Findings) -> Chart:
    """Norms of the vectors, and the rows that stand out."""
    name, title = "norms", "Vector norms"
    norms = found.survey.norms
    if not norms.total:
        return Chart(name, title, NO_ROWS, None)
    bars = norms.bars(_MOST_BARS, _TAIL / 10)
    outliers = norm_outliers(found)

    def draw(figure: Any, scheme: Scheme) -> None:
        axes = figure.subplots()
        _draw_bars(axes, bars, scheme)
        values = np.array([each.value for each in outliers])
        low, high = bars.edges[0], bars.edges[-1]  # which are known to 0.01 %
        values = values[(values >= low * (1 - 1e-4)) & (values <= high * (1 + 1e-4))]
        heights = np.full(len(values), 0.04)  # of the picture, so that a mark is seen whole
        style = {"color": scheme.alarm, "clip_on": False, "zorder": 3}
        axes.plot(values, heights, "v", transform=axes.get_xaxis_transform(), **style)
        _mark(axes, norms.quantile(0.5), f"median {norms.quantile(0.5):,.4g}", scheme)
        axes.set_xlabel("Euclidean norm")
        axes.set_ylabel("proteins")

    count = count_norm_outliers(found)
    named = ", the farthest of which are named below" if count > len(outliers) else ", named below"
    caption = (
        f"From {norms.quantile(0):,.4g} to {norms.quantile(1):,.4g}. {_beyond(bars)}Outliers, more "
        f"than {LIMIT} robust standard deviations from the median: "
        f"{counted(count, 'protein') or 'none'}{named * bool(outliers)}."
    )
    return Chart(name, title, caption, draw)


def norm_outliers(found: Findings) -> list[Extreme]:
    """Returns the rows whose norms stand out, the farthest first; of very many only some."""
    values, counts = found.survey.norms.values()
    extremes = found.survey.extremes.all()
    scores = np.abs(modified_z(np.array([each.value for each in extremes]), values, counts))
    order = np.argsort(-scores, kind="stable")
    return [extremes[at] for at in order if scores[at] > LIMIT]


def count_norm_outliers(found: Findings) -> int:
    """Returns how many rows have norms that stand out."""
    values, counts = found.survey.norms.values()
    return int(counts[np.abs(modified_z(values, values, counts)) > LIMIT].sum())


def spread_chart(found: Findings) -> Chart:
    """Standard deviation of each dimension, and those that stand out."""
    name, title = "dimensions", "Spread of each dimension"
    moments = found.survey.moments
    if moments.count < 2:
        return Chart(name, title, "It takes two proteins to tell a spread.", None)
    spread = moments.deviation
    # Twice the spread of others is as odd as half of it.
    alive = spread > 0
    scores = np.zeros(len(spread))
    scores[alive] = modified_z(np.log(spread[alive]))
    standing = np.flatnonzero(np.abs(scores) > LIMIT)
    named = standing[np.argsort(-np.abs(scores[standing]))][:_MOST_DIMENSIONS_NAMED]

    def draw(figure: Any, scheme: Scheme) -> None:
        from matplotlib.ticker import LogLocator, NullFormatter

        axes = figure.subplots()
        axes.scatter(np.arange(len(spread)), spread, s=5, color=scheme.main, linewidths=0)
        axes.scatter(standing, spread[standing], s=22, color=scheme.alarm, linewidths=0)
        for at in named:
            axes.annotate(
                f"{at}", (at, spread[at]), xytext=(4, 3), textcoords="offset points",
                color=scheme.ink,
            )  # fmt: skip
        if alive.any():
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("dimension, from 0")
        axes.set_ylabel("standard deviation")

    return Chart(name, title, _tell_spread(spread, standing, named), draw)


def _tell_spread(spread: Any, standing: Any, named: Any) -> str:
    told = f"Half of the {len(spread):,} dimensions spread by {np.median(spread):.3g} or less. "
    if len(standing):
        names = ", ".join(str(at) for at in named.tolist())
        others = len(standing) - len(named)
        more = f" and {others:,} more" * bool(others)
        told += f"Outliers, labelled by number: {names}{more}. "
    else:
        told += "No outliers. "
    constant = int((spread == 0).sum())
    return told + f"The same in all proteins: {counted(constant, 'dimension')}." * bool(constant)


def neighbours_chart(found: Findings) -> Chart:
    """Cosine of each row of the sample with its nearest other row."""
    name, title = "neighbours", "Nearest neighbours"
    closeness = found.map.closeness
    if closeness is None:
        return Chart(name, title, "It takes two proteins to be neighbours.", None)
    cosines = closeness.cosines[:, 0]
    low = float(np.quantile(cosines, 0.01))
    edges = np.linspace(min(low, 1 - 1e-6), 1, 41)
    below = int((cosines < edges[0]).sum())
    others = "other protein" + " of the sample" * (len(cosines) < found.survey.rows)

    def draw(figure: Any, scheme: Scheme) -> None:
        axes = figure.subplots()
        counts, _ = np.histogram(np.clip(cosines, edges[0], 1), edges)
        axes.stairs(counts, edges, fill=True, color=scheme.main)
        _mark(axes, float(np.median(cosines)), f"median {np.median(cosines):.4f}", scheme)
        count_on(axes.yaxis)
        axes.set_xlabel(f"cosine with the nearest {others}")
        axes.set_ylabel("proteins")

    caption = (
        f"Of {len(cosines):,} proteins. {_in_first_bar(below)}How near is near depends on the "
        "model: ranks say more than cosines."
    )
    return Chart(name, title, caption, draw)


def _in_first_bar(count: int) -> str:
    verbs = "lies below what is shown and is" if count == 1 else "lie below what is shown and are"
    return f"{count:,} {verbs} in the first bar. " if count else ""


def map_chart(found: Findings, groups: Groups) -> Chart:
    """The map as a still picture; the page has one that answers."""
    name, title = "map", "Map of the embeddings"
    if not found.map.projections:
        return Chart(name, title, NO_ROWS, None)
    projection = found.map.projections[-1]
    points, numbers = projection.points, np.array(groups.numbers)

    def draw(figure: Any, scheme: Scheme) -> None:
        axes = figure.subplots()
        rest = points[numbers < 0]
        others = axes.scatter(*rest.T, s=7, color=scheme.others, linewidths=0)
        drawn = []
        for number in range(len(groups.named)):
            here = points[numbers == number]
            marker, colour = _MARKERS[number % SHAPES], scheme.groups[number % COLOURS]
            drawn.append(axes.scatter(*here.T, s=12, color=colour, marker=marker, linewidths=0))
        across, up = axis_names(projection)
        axes.set_xlabel(across)
        axes.set_ylabel(up)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(visible=False)
        # Given one by one, since matplotlib leaves out names that begin with an underscore.
        names = [name for name, _ in groups.named]
        if groups.rest:
            drawn, names = [*drawn, others], [*names, groups.rest]
        place = "outside lower center"
        figure.legend(drawn, names, loc=place, ncols=2, frameon=False, fontsize=8, markerscale=2)

    caption = f"{len(points):,} proteins, coloured by {groups.by}, {projection.name}."
    return Chart(name, title, caption, draw, (7.2, 5.4 + 0.2 * ((len(groups.named) + 2) // 2)))


def _draw_bars(axes: Any, bars: Bars, scheme: Scheme) -> None:
    axes.stairs(bars.counts, bars.edges, fill=True, color=scheme.main)
    axes.set_xlim(bars.edges[0], bars.edges[-1])
    axes.xaxis.set_major_formatter("{x:,.6g}")
    count_on(axes.yaxis)


def _mark(axes: Any, value: float, text: str, scheme: Scheme) -> None:
    """Draws a line at a value, with a text on the side that has room."""
    axes.axvline(value, color=scheme.ink, linewidth=0.9, linestyle=(0, (4, 3)))
    low, high = axes.get_xlim()
    on_right = value < (low + high) / 2
    axes.annotate(
        text, (value, 1), xycoords=("data", "axes fraction"), va="top",
        xytext=(5 if on_right else -5, 0), textcoords="offset points",
        ha="left" if on_right else "right", color=scheme.ink,
    )  # fmt: skip


def _beyond(bars: Bars) -> str:
    """Returns what a histogram leaves out, in a sentence."""
    sides = {"below": bars.below, "above": bars.above}
    told = " and ".join(f"{count:,} {side}" for side, count in sides.items() if count)
    return f"Not drawn: {told} what is shown. " if told else ""
