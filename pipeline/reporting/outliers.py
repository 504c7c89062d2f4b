"""What stands out from the rest, by a measure that outliers themselves do not move."""

from __future__ import annotations

import numpy as np

from pipeline.reporting.histogram import weighted_quantile
from transforms.arrays import Doubles, Integers

LIMIT = 3.5
"""Modified z-score above which a value stands out: Iglewicz and Hoaglin, How to Detect and Handle
Outliers (1993)."""

_MAD_OF_NORMAL = 0.6745  # of a standard deviation
_MEAN_OF_NORMAL = 0.7979


def modified_z(
    values: Doubles,
    among: Doubles | None = None,
    counts: Integers | None = None,
) -> Doubles:
    """Returns how far values lie from the median, in robust standard deviations.

    Args:
        values: Array of shape (n,).
        among: The values that median and spread are taken from; those themselves by default.
        counts: How often each of ``among`` is there; once by default.

    Returns:
        float64 array of shape (n,); zeros where more than half of the values are the same and
        nothing else tells a spread.
    """
    among = values if among is None else among
    counts = np.ones(len(among), np.int64) if counts is None else counts
    if not len(among):
        return np.zeros(len(values))
    median = weighted_quantile(among, counts, 0.5)
    apart = np.abs(among - median)
    spread = weighted_quantile(apart, counts, 0.5) / _MAD_OF_NORMAL
    if not spread:
        spread = float(np.average(apart, weights=counts)) / _MEAN_OF_NORMAL
    return (values - median) / spread if spread else np.zeros(len(values))
