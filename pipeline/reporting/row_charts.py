"""Pictures of the rows of an output: lengths, norms, dimensions, neighbours, and the map."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.reporting.chart import Chart, count_on, mark
from pipeline.reporting.colours import ALARM, GROUPS, INK, MAIN, OTHERS
from pipeline.reporting.extremes import Extreme
from pipeline.reporting.findings import Findings
from pipeline.reporting.groups import COLOURS, SHAPES, Groups
from pipeline.reporting.histogram import Bars
from pipeline.reporting.outliers import LIMIT, modified_z
from pipeline.reporting.scatter import axis_names
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
        return Chart(name, title, NO_ROWS)
    bars = lengths.bars(_MOST_BARS, _TAIL, are_whole=True)
    median = lengths.quantile(0.5)

    def draw(axes: Any) -> None:
        _draw_bars(axes, bars)
        mark(axes, median, f"median {median:,.0f}")

    caption = (
        f"From {lengths.quantile(0):,.0f} to {lengths.quantile(1):,.0f} residues, half of them "
        f"{median:,.0f} or less. {_beyond(bars)}"
        f"{counted(found.survey.truncated, 'protein') or 'None'} truncated before the model."
    )
    return Chart(name, title, caption, draw, "residues", "proteins")


def norms_chart(found: Findings) -> Chart:
    """Norms of the vectors, and the rows that stand out."""
    name, title = "norms", "Vector norms"
    norms = found.survey.norms
    if not norms.total:
        return Chart(name, title, NO_ROWS)
    bars = norms.bars(_MOST_BARS, _TAIL / 10)
    outliers = norm_outliers(found)

    def draw(axes: Any) -> None:
        _draw_bars(axes, bars)
        values = np.array([each.value for each in outliers])
        low, high = bars.edges[0], bars.edges[-1]  # which are known to 0.01 %
        values = values[(values >= low * (1 - 1e-4)) & (values <= high * (1 + 1e-4))]
        heights = np.full(len(values), 0.04)  # of the picture, so that a mark is seen whole
        style = {"color": ALARM, "clip_on": False, "zorder": 3}
        axes.plot(values, heights, "v", transform=axes.get_xaxis_transform(), **style)
        mark(axes, norms.quantile(0.5), f"median {norms.quantile(0.5):,.4g}")

    count = count_norm_outliers(found)
    named = ", the farthest of which are named below" if count > len(outliers) else ", named below"
    caption = (
        f"From {norms.quantile(0):,.4g} to {norms.quantile(1):,.4g}. {_beyond(bars)}Outliers, more "
        f"than {LIMIT} robust standard deviations from the median: "
        f"{counted(count, 'protein') or 'none'}{named * bool(outliers)}."
    )
    return Chart(name, title, caption, draw, "Euclidean norm", "proteins")


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
        return Chart(name, title, "It takes two proteins to tell a spread.")
    spread = moments.deviation
    # Twice the spread of others is as odd as half of it.
    alive = spread > 0
    scores = np.zeros(len(spread))
    scores[alive] = modified_z(np.log(spread[alive]))
    standing = np.flatnonzero(np.abs(scores) > LIMIT)
    named = standing[np.argsort(-np.abs(scores[standing]))][:_MOST_DIMENSIONS_NAMED]

    def draw(axes: Any) -> None:
        from matplotlib.ticker import LogLocator, NullFormatter

        axes.scatter(np.arange(len(spread)), spread, s=5, color=MAIN, linewidths=0)
        axes.scatter(standing, spread[standing], s=22, color=ALARM, linewidths=0)
        for at in named:
            axes.annotate(
                f"{at}", (at, spread[at]), xytext=(4, 3), textcoords="offset points",
                color=INK,
            )  # fmt: skip
        if alive.any():
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())

    caption = _tell_spread(spread, standing, named)
    return Chart(name, title, caption, draw, "dimension, from 0", "standard deviation")


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
        return Chart(name, title, "It takes two proteins to be neighbours.")
    cosines = closeness.cosines[:, 0]
    low = float(np.quantile(cosines, 0.01))
    edges = np.linspace(min(low, 1 - 1e-6), 1, 41)
    counts, _ = np.histogram(np.minimum(cosines, 1), edges)
    bars = Bars(edges, counts, int((cosines < edges[0]).sum()), 0)
    others = "other protein" + " of the sample" * (len(cosines) < found.survey.rows)

    def draw(axes: Any) -> None:
        _draw_bars(axes, bars)
        mark(axes, float(np.median(cosines)), f"median {np.median(cosines):.4f}")

    caption = (
        f"Of {len(cosines):,} proteins. {_beyond(bars)}How near is near depends on the model: "
        "ranks say more than cosines."
    )
    return Chart(name, title, caption, draw, f"cosine with the nearest {others}", "proteins")


def map_chart(found: Findings, groups: Groups) -> Chart:
    """The map as a still picture; the page has one that answers."""
    name, title = "map", "Map of the embeddings"
    if not found.map.projections:
        return Chart(name, title, NO_ROWS)
    projection = found.map.projections[-1]
    points, numbers = projection.points, np.array(groups.numbers)

    def draw(axes: Any) -> None:
        rest = points[numbers < 0]
        others = axes.scatter(*rest.T, s=7, color=OTHERS, linewidths=0)
        drawn = []
        for number in range(len(groups.named)):
            here = points[numbers == number]
            marker, colour = _MARKERS[number % SHAPES], GROUPS[number % COLOURS]
            drawn.append(axes.scatter(*here.T, s=12, color=colour, marker=marker, linewidths=0))
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(visible=False)
        # Given one by one, since matplotlib leaves out names that begin with an underscore.
        names = [name for name, _ in groups.named]
        if groups.rest:
            drawn, names = [*drawn, others], [*names, groups.rest]
        place = "outside lower center"
        axes.figure.legend(
            drawn, names, loc=place, ncols=2, frameon=False, fontsize=8, markerscale=2
        )

    caption = f"{len(points):,} proteins, coloured by {groups.by}, {projection.name}."
    size = 7.2, 5.4 + 0.2 * ((len(groups.named) + 2) // 2)
    return Chart(name, title, caption, draw, *axis_names(projection), size=size)


def _draw_bars(axes: Any, bars: Bars) -> None:
    axes.stairs(bars.counts, bars.edges, fill=True, color=MAIN)
    axes.set_xlim(bars.edges[0], bars.edges[-1])
    axes.xaxis.set_major_formatter("{x:,.6g}")
    count_on(axes.yaxis)


def _beyond(bars: Bars) -> str:
    """Returns what a histogram leaves out, in a sentence."""
    sides = {"below": bars.below, "above": bars.above}
    told = " and ".join(f"{count:,} {side}" for side, count in sides.items() if count)
    return f"Not drawn: {told} what is shown. " if told else ""
