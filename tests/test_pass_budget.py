from __future__ import annotations

from typing import Any

import pytest
import torch

from transforms.esm import forward
from transforms.esm.pass_budget import (
    CPU_TOKENS,
    CUDA_TOKENS,
    PassBudget,
    find_budget,
    full_pass,
)


def test_running_out_of_memory_is_remembered() -> None:
    budget = PassBudget(2048)
    budget.ran_out(2000)
    assert budget.tokens == 1000
    budget.ran_out(3000)  # a single sequence above the budget
    assert budget.tokens == 1000
    budget.ran_out(1)
    assert budget.tokens == 1


@pytest.mark.parametrize(
    ("device", "there", "expected"),
    [
        ("cpu", True, CPU_TOKENS),
        ("mps", False, CPU_TOKENS),
        ("cuda:1", True, CUDA_TOKENS),
        ("auto", True, CUDA_TOKENS),
        ("auto", False, CPU_TOKENS),
    ],
)
def test_what_fills_a_device(
    monkeypatch: pytest.MonkeyPatch, device: str, there: bool, expected: int
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert full_pass(device) == expected


def test_on_a_cpu_nothing_is_tried() -> None:
    assert find_budget(torch.nn.Linear(2, 2)) == PassBudget(CPU_TOKENS)


class OnCuda(torch.nn.Module):
    """Says that it is on a GPU."""

    def parameters(self, recurse: bool = True) -> Any:
        yield torch.nn.Parameter(torch.zeros(1, device="meta"))


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A card on which a token takes 1,000 bytes, with memory as it is set."""
    numbers: dict[str, Any] = {"free": 0, "reserved": 0, "rows": []}

    def run(_: Any, rows: Any) -> None:
        numbers["rows"] = rows
        if numbers["free"] < 4_096_000:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    class Device:
        type = "cuda"

    monkeypatch.setattr(forward, "embed_rows", run)
    monkeypatch.setattr(torch.nn.Parameter, "device", Device, raising=False)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 5_000)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 5_000 + 4096 * 1000)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 5_000 + numbers["reserved"])
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (numbers["free"], 10**12))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: None)
    return numbers


@pytest.mark.parametrize(
    ("free", "reserved", "tokens"),
    [
        (80 * 10**9, 0, CUDA_TOKENS),
        (10_000_000, 0, 8_000),
        (10_000_000, 5_000_000, 12_000),  # what the allocator holds but does not use is free too
        (1_000, 0, 2048),  # even the trial does not fit
    ],
)
def test_on_cuda_memory_is_the_cap(
    gpu: dict[str, Any], free: int, reserved: int, tokens: int
) -> None:
    gpu["free"], gpu["reserved"] = free, reserved
    assert find_budget(OnCuda()).tokens == tokens
    assert sum(row.tokens for row in gpu["rows"]) == 4096
