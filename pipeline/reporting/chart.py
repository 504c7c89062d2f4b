"""A picture of a report: what it says, and what draws it."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline.reporting.scheme import Scheme

Draw = Callable[[Any, Scheme], None]
"""Draws on a matplotlib figure."""

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
        size: Its width and height in inches.
    """

    name: str
    title: str
    caption: str
    draw: Draw | None
    size: tuple[float, float] = (5.6, 2.8)

    @property
    def is_there(self) -> bool:
        """Tells whether there is something to be seen."""
        return self.draw is not None

    def render(self, scheme: Scheme) -> bytes:
        """Returns the picture as PNG, 200 points to the inch."""
        import matplotlib
        from matplotlib.figure import Figure

        assert self.draw is not None
        buffer = io.BytesIO()
        with matplotlib.rc_context(scheme.settings()):
            figure = Figure(figsize=self.size, layout="constrained")
            self.draw(figure, scheme)
            figure.savefig(buffer, format="png", dpi=_DPI, metadata=_METADATA)
        return buffer.getvalue()


def data_uri(png: bytes) -> str:
    """Returns a picture as a URL that holds it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
