"""Whether a kernel works on a device, and gives the numbers of torch's own operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Run = Callable[[], Sequence[Tensor]]

_TOLERANCE = 0.02  # to values that are rounded to 8 bits


def check_kernel(run: Run, plain: Run) -> None:
    """Tries a kernel before anything depends on it.

    Args:
        run: Runs it.
        plain: Does the same with torch's own operations.

    Raises:
        ArithmeticError: It gives other numbers.
        Exception: Whatever this build, or this card, lacks.
    """
    difference = largest_difference(run, plain)
    if not difference <= _TOLERANCE:
        raise ArithmeticError(f"it is off by {difference:g} on this device")


@torch.inference_mode()
def largest_difference(run: Run, plain: Run) -> float:
    """Returns the largest difference of two ways, in proportion; NaN if there is one anywhere."""
    pairs = zip(run(), plain(), strict=True)
    exact = ((found.float(), expected.float()) for found, expected in pairs)
    each = [((found - expected).abs() / (1 + expected.abs())).max() for found, expected in exact]
    return float(torch.stack(each).max())
