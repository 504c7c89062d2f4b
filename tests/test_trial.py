from __future__ import annotations

import pytest
import torch
from torch import Tensor

from transforms.esm.kernels.trial import check_kernel


def near() -> list[Tensor]:
    return [torch.tensor([1.0, -3.0]), torch.tensor([0.5])]


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("value", [0.9, float("nan"), float("inf")])
def test_another_number_in_any_of_its_results_is_found(which: int, value: float) -> None:
    def other() -> list[Tensor]:
        results = near()
        results[which][0] = value
        return results

    with pytest.raises(ArithmeticError, match="it is off by"):
        check_kernel(other, near)


def test_what_is_rounded_is_no_other_number() -> None:
    check_kernel(lambda: [each.bfloat16() * 1.002 for each in near()], near)


def test_a_result_that_is_missing_is_found() -> None:
    with pytest.raises(ValueError, match="zip"):
        check_kernel(lambda: near()[:1], near)
