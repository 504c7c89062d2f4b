"""A picture of a report: what it says, and what draws it."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline.reporting.colours import INK, SETTINGS

Draw = Callable[[Any], None]
"""Draws on matplotlib axes."""

_DPI = 200
_METADATA = {"Software": None}  # else equal pictures would differ by matplotlib's version


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture.

    Attributes:
        name: Of its file, without suffix.
        title: What it shows.
        caption: What is to be seen, in a sentence or two.
        draw: Draws it; None where it cannot be had, which the caption tells then.
        across: What its horizontal axis is called.
        up: What its vertical axis is called.
        size: Its width and height in inches.
    """

    name: str
    title: str
    caption: str
    draw: Draw | None = None
    across: str = ""
    up: str = ""
    size: tuple[float, float] = (5.6, 2.8)

    @property
    def is_there(self) -> bool:
        """Tells whether there is something to be seen."""
        return self.draw is not None

    def render(self) -> bytes:
        """Returns the picture as PNG, 200 points to the inch."""
        import matplotlib
        from matplotlib.figure import Figure

        assert self.draw is not None
        buffer = io.BytesIO()
        with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
            # A name may hold letters that the font lacks; the page has it in the reader's fonts.
            warnings.filterwarnings("ignore", "Glyph .* missing from")
            figure = Figure(figsize=self.size, layout="constrained")
            axes = figure.subplots()
            axes.set_xlabel(self.across)
            axes.set_ylabel(self.up)
            self.draw(axes)
            figure.savefig(buffer, format="png", dpi=_DPI, metadata=_METADATA)
        return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class Charts:
    """The pictures of a report: the map, those of the rows, and those of how they were made."""

    map: Chart
    of_rows: tuple[Chart, ...]
    of_run: tuple[Chart, ...]

    def all(self) -> tuple[Chart, ...]:
        """Returns all of them."""
        return *self.of_rows, *self.of_run, self.map


def count_on(axis: Any) -> None:
    """Makes an axis one of whole numbers, since it counts."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    axis.set_major_formatter("{x:,.0f}")


def mark(axes: Any, value: float, text: str) -> None:
    """Draws a line at a value, with a text on the side that has room."""
    axes.axvline(value, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
    on_right = value < sum(axes.get_xlim()) / 2
    axes.annotate(
        text, (value, 1), xycoords=("data", "axes fraction"), va="top",
        xytext=(5 if on_right else -5, 0), textcoords="offset points",
        ha="left" if on_right else "right", color=INK,
    )  # fmt: skip


def data_uri(png: bytes) -> str:
    """Returns a picture as a URL that holds it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
