"""The colours of a report, on light and on dark ground.

Series are told apart by those of Okabe and Ito (Color Universal Design, 2008), which people with
any kind of colour vision can tell apart; on dark ground they are lighter. ``style.css`` has the
same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Scheme:
    """Colours, as ``#rrggbb``.

    Attributes:
        name: ``light`` or ``dark``.
        ground: Behind everything.
        ink: Of text.
        muted: Of what is said by the way.
        line: Of axes and grids.
        main: Of what a picture shows.
        soft: Of the same where it is not the point.
        alarm: Of what stands out.
        groups: Of the groups of a map.
        others: Of what belongs to none of them.
    """

    name: str
    ground: str
    ink: str
    muted: str
    line: str
    main: str
    soft: str
    alarm: str
    groups: tuple[str, ...]
    others: str

    def settings(self) -> dict[str, Any]:
        """Returns what matplotlib is told."""
        return {
            "figure.facecolor": self.ground,
            "axes.facecolor": self.ground,
            "savefig.facecolor": self.ground,
            "text.color": self.ink,
            "axes.labelcolor": self.muted,
            "axes.edgecolor": self.line,
            "xtick.color": self.line,
            "ytick.color": self.line,
            "xtick.labelcolor": self.muted,
            "ytick.labelcolor": self.muted,
            "grid.color": self.line,
            "grid.linewidth": 0.6,
            "axes.grid": True,
            "axes.grid.axis": "y",
            "axes.axisbelow": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.spines.left": False,
            "ytick.left": False,
            "font.family": "DejaVu Sans",  # which matplotlib brings
            "font.size": 9,
            # Names of others may hold what its own markup would be.
            "text.parse_math": False,
        }


LIGHT = Scheme(
    name="light",
    ground="#ffffff",
    ink="#1d2429",
    muted="#5b6770",
    line="#dfe3e6",
    main="#0072b2",
    soft="#a9cfe6",
    alarm="#d55e00",
    groups=("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#4d4d4d"),
    others="#c9cfd4",
)
DARK = Scheme(
    name="dark",
    ground="#1b2126",
    ink="#e4e8eb",
    muted="#a0abb4",
    line="#363f47",
    main="#56b4e9",
    soft="#2f5f7e",
    alarm="#ff8b4d",
    groups=("#4aa3e0", "#ff8b4d", "#2fc79a", "#e39cc6", "#f2b632", "#a5dcff", "#d6d6d6"),
    others="#4a545d",
)
