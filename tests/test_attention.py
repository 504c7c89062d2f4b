from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from transforms.esm.kernels import attention
from transforms.esm.kernels.attention import attend_each, choose_attention

LENGTHS = (3, 17, 1, 60)


def make_qkv(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    query, key, value = torch.randn((3, sum(LENGTHS), 4, 8), generator=generator).to(dtype)
    return query, key, value


def boundaries() -> Tensor:
    return torch.tensor([0, *torch.tensor(LENGTHS).cumsum(0).tolist()], dtype=torch.int32)


def attend_exactly(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """By the formula, in float64; all (n, heads, d)."""
    q, k, v = (tensor.double().transpose(0, 1) for tensor in (query, key, value))
    scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
    return (scores.softmax(-1) @ v).transpose(0, 1)


def test_agrees_with_the_formula_for_each_sequence() -> None:
    qkv = make_qkv()
    attended = attend_each(*qkv, boundaries(), max(LENGTHS))
    split = zip(attended.split(LENGTHS), *(tensor.split(LENGTHS) for tensor in qkv), strict=True)
    for found, query, key, value in split:
        exact = attend_exactly(query, key, value)
        torch.testing.assert_close(found.double(), exact, atol=1e-6, rtol=0)


def test_no_other_sequence_changes_by_a_bit() -> None:
    qkv = make_qkv()
    before = attend_each(*qkv, boundaries(), max(LENGTHS))
    for tensor in qkv:
        tensor[3:20] += 1.0
    after = attend_each(*qkv, boundaries(), max(LENGTHS))
    assert torch.equal(after[:3], before[:3])
    assert torch.equal(after[20:], before[20:])
    assert not torch.equal(after[3:20], before[3:20])


def test_on_a_cpu_each_sequence_is_taken_by_itself() -> None:
    assert choose_attention(torch.device("cpu"), torch.float32, 4, 8) == ("each", attend_each)


@pytest.mark.parametrize(
    ("device", "dtype"), [("cuda", torch.float32), ("mps", torch.float16), ("mps", torch.float32)]
)
def test_where_no_kernel_is_for_it_batches_are_padded(device: str, dtype: torch.dtype) -> None:
    assert choose_attention(torch.device(device), dtype, 4, 8) is None


class TestTrial:
    """On CUDA a back end is tried first; here the trial runs on the CPU, with stand-ins for it."""

    seconds: dict[Any, float] = {}

    @pytest.fixture(autouse=True)
    def _on_this_cpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        try_out = attention._try_out

        def try_here(attend: Any, device: Any, *rest: Any) -> None:
            try_out(attend, torch.device("cpu"), *rest)

        monkeypatch.setattr(attention, "_try_out", try_here)
        monkeypatch.setattr(attention, "_time", lambda attend, *_: self.seconds.get(attend, 1.0))

    def install(self, monkeypatch: pytest.MonkeyPatch, varlen_attn: Callable[..., Tensor]) -> None:
        module = types.ModuleType("torch.nn.attention.varlen")
        module.varlen_attn = varlen_attn
        monkeypatch.setitem(sys.modules, "torch.nn.attention.varlen", module)
        monkeypatch.setitem(sys.modules, "transforms.esm.kernels.triton_kernels", None)

    def choose(self) -> str | None:
        chosen = choose_attention(torch.device("cuda"), torch.float16, 4, 8)
        return chosen[0] if chosen else None

    def test_flash_is_pinned(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = []

        def varlen_attn(
            q: Tensor, k: Tensor, v: Tensor, cu_q: Tensor, cu_k: Tensor, max_q: int, max_k: int,
            *, num_splits: int | None = None,
        ) -> Tensor:  # fmt: skip
            assert torch.equal(cu_q, cu_k)
            assert max_q == max_k == 130
            seen.append(num_splits)
            return attend_each(q, k, v, cu_q, max_q)

        self.install(monkeypatch, varlen_attn)
        assert self.choose() == "varlen flash"
        assert seen == [1]

    def test_the_fastest_of_what_works_is_chosen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def slow(*arguments: Any) -> Tensor:
            return attend_each(*arguments)

        def wrong(query: Tensor, *_: Any) -> Tensor:
            return torch.zeros_like(query)

        there = {"wrong": wrong, "slow": slow, "fast": attend_each}
        monkeypatch.setattr(attention, "_ON_CUDA", there)
        monkeypatch.setattr(TestTrial, "seconds", {slow: 3.0, attend_each: 2.0, wrong: 1.0})
        assert self.choose() == "fast"

    @pytest.mark.parametrize("said", ["only supports Ampere", "unexpected keyword", "is off by"])
    def test_what_does_not_work_here_is_named_and_not_taken(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, said: str
    ) -> None:
        def varlen_of_old_card(*_: Any, num_splits: int) -> Tensor:
            raise RuntimeError("FlashAttention only supports Ampere GPUs or newer.")

        def varlen_of_old_torch(q: Tensor, *_: Any) -> Tensor:
            return q

        def varlen_that_leaks(
            q: Tensor, k: Tensor, v: Tensor, cu: Tensor, *_: Any, num_splits: int
        ) -> Tensor:
            return attend_each(q, k, v, cu[[0, -1]], 202)

        varlen = {
            "only supports Ampere": varlen_of_old_card,
            "unexpected keyword": varlen_of_old_torch,
            "is off by": varlen_that_leaks,
        }
        caplog.set_level("DEBUG", "transforms")
        self.install(monkeypatch, varlen[said])
        assert self.choose() is None
        (told,) = (each for each in caplog.records if "varlen flash" in each.getMessage())
        assert said in told.getMessage()
        assert (told.levelname == "WARNING") == (said == "is off by")

    def test_a_torch_without_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "torch.nn.attention.varlen", None)
        monkeypatch.setitem(sys.modules, "transforms.esm.kernels.triton_kernels", None)
        assert self.choose() is None
