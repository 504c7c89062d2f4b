"""Of CUDA graphs, what needs no device: places, and when one is made. The rest: test_cuda.py."""

from __future__ import annotations

import logging
import random
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from transforms.esm import cuda_graphs
from transforms.esm.cuda_graphs import Graphs, choose_places, fill_places, make_places
from transforms.esm.encoder import PackedEncoder
from transforms.esm.model import EsmModelHandler, ModelConfig
from transforms.esm.packing import Pack, Row, pack

CPU = torch.device("cpu")


def make_pack(lengths: list[int], seed: int = 0) -> Pack:
    rng = random.Random(seed)
    texts = ["".join(rng.choices("ACDEFGHIKLMNPQRSTVWY", k=length)) for length in lengths]
    return pack([Row(text, 0, len(text)) for text in texts], CPU)


@pytest.fixture(scope="module")
def encoder() -> PackedEncoder:
    loaded = EsmModelHandler(ModelConfig("demo", device="cpu")).load_model()
    assert isinstance(loaded, PackedEncoder)
    return loaded


@given(lengths=st.lists(st.integers(1, 900), min_size=1, max_size=90), room=st.integers(0, 5000))
def test_a_pack_and_a_mock_sequence_fit(lengths: list[int], room: int) -> None:
    used = sum(lengths) + 2 * len(lengths)
    packed = make_pack(lengths)
    tokens, sequences, longest = choose_places(packed, used + room)
    assert used <= tokens <= used + room
    assert tokens - used <= max(1, (used + room) // 8)
    assert sequences > len(lengths)
    assert longest >= max(lengths) + 2
    places = make_places(tokens, sequences, longest, CPU)
    fill_places(places, packed)
    assert len(places) == sequences
    sizes = places.boundaries.diff().tolist()
    assert sizes[: len(lengths)] == [length + 2 for length in lengths]
    assert sizes[len(lengths)] == tokens - used
    assert sum(sizes) == tokens
    assert places.segments.view(-1, 3).sum(1).tolist() == sizes


@torch.inference_mode()
def test_what_is_mock_changes_no_vector_by_a_bit(encoder: PackedEncoder) -> None:
    places = make_places(2200, 64, 384, CPU)
    for seed in range(4):  # each leaves its tokens to the mock sequence of the next
        packed = make_pack([90 + seed] * (20 - seed), seed)
        fill_places(places, packed)
        assert torch.equal(encoder.embed(places)[: len(packed)], encoder.embed(packed))


class Recorder:
    """Stands for recording, which needs a device."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.captured: list[int] = []
        self.failure: Exception | None = None
        self.room = True
        monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 0))
        monkeypatch.setattr(torch.cuda, "synchronize", lambda *_: None)
        monkeypatch.setattr(Graphs, "_has_room", lambda _, run: run() is not None and self.room)
        monkeypatch.setattr(Graphs, "_capture", self.capture)

    def capture(self, encoder: PackedEncoder, places: Pack) -> Any:
        if self.failure:
            raise self.failure
        self.captured.append(len(places.token_ids))
        recorded = self

        class Graph:
            def replay(self, packed: Pack) -> Tensor:
                recorded.captured.append(-len(places.token_ids))
                fill_places(places, packed)
                return encoder.embed(places)[: len(packed)]

        return Graph()


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    return Recorder(monkeypatch)


@torch.inference_mode()
def run(made: Graphs, encoder: PackedEncoder, count: int, full: int) -> None:
    packed = make_pack([98] * count)
    torch.testing.assert_close(made.run(encoder, packed, full), encoder.embed(packed))


def test_what_comes_a_second_time_is_recorded(encoder: PackedEncoder, recorder: Recorder) -> None:
    made = Graphs()
    for count in (20, 10, 20, 20, 5):
        run(made, encoder, count, 2000)
    assert recorder.captured == [2000, -2000, -2000]


def test_for_passes_of_another_size_all_begins_anew(
    encoder: PackedEncoder, recorder: Recorder
) -> None:
    made = Graphs()
    for full in (2000, 2000, 1000, 1000, 2000):
        run(made, encoder, 10, full)
    assert recorder.captured == [1000, -1000, 1000, -1000]


def test_more_than_a_full_pass_is_launched_as_it_is(
    encoder: PackedEncoder, recorder: Recorder
) -> None:
    made = Graphs()
    for _ in range(3):
        run(made, encoder, 20, 1000)
    assert recorder.captured == []


@pytest.mark.parametrize(
    "reason",
    [
        "memory",
        "operation not permitted when stream is capturing",
        "CUDA error: operation failed due to a previous error during capture",
    ],
)
def test_where_recording_does_not_work_it_is_given_up(
    encoder: PackedEncoder,
    recorder: Recorder,
    caplog: pytest.LogCaptureFixture,
    reason: str,
) -> None:
    caplog.set_level(logging.INFO, cuda_graphs.__name__)
    recorder.room = reason != "memory"
    recorder.failure = torch.AcceleratorError(reason)
    made = Graphs()
    for _ in range(4):
        run(made, encoder, 20, 2000)
    assert recorder.captured == []
    assert len(caplog.records) == 1
    assert caplog.records[0].message.startswith("No CUDA graphs")


def test_a_broken_device_is_told_of(encoder: PackedEncoder, recorder: Recorder) -> None:
    recorder.failure = RuntimeError("CUDA error: an illegal memory access was encountered")
    made = Graphs()
    run(made, encoder, 20, 2000)
    with pytest.raises(RuntimeError, match="illegal memory"):
        run(made, encoder, 20, 2000)
