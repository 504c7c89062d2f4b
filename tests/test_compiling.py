from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.model_helpers import hidden_states, load_reference
from transforms import compiling
from transforms.compiling import compile_layers, compile_when_it_pays
from transforms.encoder import PackedEncoder
from transforms.packing import Pack, Row, pack

CPU = torch.device("cpu")


def attend_masked(q: Tensor, k: Tensor, v: Tensor, boundaries: Tensor, longest: int) -> Tensor:
    """Attends as a compiler can follow it, which no loop over sequences is."""
    place = torch.arange(len(q), dtype=boundaries.dtype)
    sequence = torch.bucketize(place, boundaries[1:], right=True)
    mask = sequence[:, None] == sequence
    q, k, v = (tensor.transpose(0, 1) for tensor in (q, k, v))
    scores = (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).masked_fill(~mask, -torch.inf)
    return (scores.softmax(-1) @ v).transpose(0, 1)


def make_pack(*lengths: int) -> tuple[list[str], Pack]:
    rng = random.Random(sum(lengths))
    sequences = ["".join(rng.choices("ACDEFGHIKLMNPQRSTVWY", k=length)) for length in lengths]
    return sequences, pack([Row(s, 0, len(s)) for s in sequences], CPU)


@pytest.fixture
def encoder(tiny_checkpoint: Path) -> PackedEncoder:
    torch._dynamo.reset()
    return PackedEncoder(load_reference(tiny_checkpoint), "masked", attend_masked).eval()


class Backend:
    """A compiler that changes nothing, and counts what it is given."""

    def __init__(self, change: Callable[[Any], Any] = lambda out: out) -> None:
        self.graphs = 0
        self.change = change

    def __call__(self, graph: torch.fx.GraphModule, _: Any) -> Callable[..., Any]:
        self.graphs += 1
        return lambda *args: self.change(graph(*args))


def compile_with(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = torch.compile

    def compile_here(layer: Any, dynamic: bool) -> Any:
        return compiled(layer, dynamic=dynamic, backend=backend, fullgraph=True)

    monkeypatch.setattr(compiling.torch, "compile", compile_here)


@torch.inference_mode()
def test_one_code_serves_all_layers_and_all_shapes(
    encoder: PackedEncoder, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_with(backend := Backend(), monkeypatch)
    assert compile_layers(encoder, make_pack(40, 7)[1])
    reference = load_reference(tiny_checkpoint)
    for lengths in ((40, 7), (3, 90, 5, 11), (200,), (64, 64)):
        sequences, packed = make_pack(*lengths)
        states = encoder(packed).split(packed.boundaries.diff().tolist())
        for found, sequence in zip(states, sequences, strict=True):
            expected = hidden_states(reference, sequence)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert backend.graphs == 1


@torch.inference_mode()
def test_code_with_other_numbers_is_not_used(
    encoder: PackedEncoder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    compile_with(Backend(lambda out: [value.roll(1) for value in out]), monkeypatch)
    _, packed = make_pack(40, 7)
    before = encoder(packed)
    assert not compile_layers(encoder, packed)
    assert torch.equal(encoder(packed), before)
    assert "are off" in caplog.text


@torch.inference_mode()
def test_a_compiler_that_fails_costs_nothing_but_its_time(
    encoder: PackedEncoder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("no Triton here")

    compile_with(fail, monkeypatch)
    _, packed = make_pack(40, 7)
    before = encoder(packed)
    assert not compile_layers(encoder, packed)
    assert torch.equal(encoder(packed), before)
    assert "Not compiled" in caplog.text


class TestWhenItPays:
    @pytest.fixture
    def compiled(self, monkeypatch: pytest.MonkeyPatch) -> list[Pack]:
        found: list[Pack] = []
        monkeypatch.setattr(compiling, "compile_layers", lambda _, packed: found.append(packed))
        return found

    def on(self, device: str) -> Pack:
        ids = torch.zeros(3, dtype=torch.int32, device="meta")

        class OnDevice:
            def __init__(self) -> None:
                self.device = torch.device(device)

        return Pack(OnDevice(), ids, ids, ids, 3)  # type: ignore[arg-type]

    def test_once_after_a_minute_of_passes(
        self, encoder: PackedEncoder, compiled: list[Pack]
    ) -> None:
        packs = [self.on("cuda:0") for _ in range(9)]
        for packed in packs:
            compile_when_it_pays(encoder, packed, 20.0)
        assert compiled == [packs[2]]

    def test_never_on_a_cpu(self, encoder: PackedEncoder, compiled: list[Pack]) -> None:
        compile_when_it_pays(encoder, self.on("cpu"), 1000.0)
        assert compiled == []
