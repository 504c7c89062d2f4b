"""The colours of pictures, on light ground; ``style.css`` has them too, and those of a dark page.

Groups have those of Okabe and Ito (Color Universal Design, 2008), which people with any kind of
colour vision can tell apart.
"""

from __future__ import annotations

GROUND, INK, MUTED, LINE = "#ffffff", "#1d2429", "#5b6770", "#dfe3e6"
MAIN, ALARM, OTHERS = "#0072b2", "#d55e00", "#c9cfd4"
GROUPS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#4d4d4d")

SETTINGS = {
    "figure.facecolor": GROUND,
    "axes.facecolor": GROUND,
    "savefig.facecolor": GROUND,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "grid.color": LINE,
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
"""What matplotlib is told."""
