"""What only a CUDA device can show: kernels, graphs, batches that wait on the device."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.run import main
from tests.command import exit_code_of
from tests.helpers import make_protein
from tests.waiting import heard
from transforms import events
from transforms.awaiting import Deferred
from transforms.esm.cuda_graphs import Graphs
from transforms.esm.encoder import PackedEncoder
from transforms.esm.kernels.rotary_and_norm import _load_triton, _prepare_trial
from transforms.esm.kernels.trial import check_kernel
from transforms.esm.model import EsmModelHandler, ModelConfig
from transforms.esm.packing import Pack, Row, pack
from transforms.items import Batch, EmbeddingBlock

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
CUDA = torch.device("cuda")


def draw(count: int, shortest: int = 5, longest: int = 400, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    return [
        "".join(rng.choices("ACDEFGHIKLMNPQRSTVWY", k=rng.randint(shortest, longest)))
        for _ in range(count)
    ]


def make_batch(sequences: list[str]) -> Batch:
    return Batch(tuple(make_protein(i, sequence=s) for i, s in enumerate(sequences)))


def make_pack(sequences: list[str]) -> Pack:
    return pack([Row(sequence, 0, len(sequence)) for sequence in sequences], CUDA)


def embed(checkpoint: Path, sequences: list[str], **config: object) -> np.ndarray:
    handler = EsmModelHandler(ModelConfig(str(checkpoint), **config))
    (block,) = handler.run_inference(make_batch(sequences), handler.load_model())
    assert isinstance(block, EmbeddingBlock)
    return block.vectors


def lowest_cosine(found: np.ndarray, expected: np.ndarray) -> float:
    return float(torch.cosine_similarity(torch.tensor(found), torch.tensor(expected)).min())


@pytest.fixture
def encoder(tiny_checkpoint: Path) -> PackedEncoder:
    loaded = EsmModelHandler(ModelConfig(str(tiny_checkpoint), device="cuda")).load_model()
    assert isinstance(loaded, PackedEncoder)
    return loaded


@pytest.fixture
def passes() -> Iterator[list[events.PassComputed]]:
    heard: list[events.PassComputed] = []
    with events.listening(
        lambda event: heard.append(event) if isinstance(event, events.PassComputed) else None
    ):
        yield heard


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("heads", "width"), [(4, 8), (20, 16), (20, 64), (3, 24)])
def test_the_kernels_compute_what_torch_does(dtype: torch.dtype, heads: int, width: int) -> None:
    check_kernel(*_prepare_trial(_load_triton(), CUDA, dtype, heads, width))


def test_they_are_what_is_used(encoder: PackedEncoder) -> None:
    assert encoder.name.endswith("fused kernels")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_vectors_are_those_of_the_cpu(tiny_checkpoint: Path, dtype: str) -> None:
    sequences = draw(300)
    expected = embed(tiny_checkpoint, sequences, device="cpu")
    found = embed(tiny_checkpoint, sequences, device="cuda", dtype=dtype, toks_per_batch=2048)
    assert lowest_cosine(found, expected) >= 0.999


class TestGraphs:
    @torch.inference_mode()
    def test_give_what_launching_one_by_one_gives(self, encoder: PackedEncoder) -> None:
        graphs = Graphs()
        for seed in range(6):  # other numbers of sequences, other mock sequences
            packed = make_pack(draw(20 - seed, 90, 110, seed))
            found = graphs.run(encoder, packed, 2200).clone()
            np.testing.assert_array_equal(
                found.cpu().numpy(), encoder.embed(packed).cpu().numpy(), str(seed)
            )
        assert set(graphs._graphs) == {(2200, 64, 384), (1925, 64, 384)}

    @torch.inference_mode()
    def test_changing_a_sequence_changes_no_other_by_a_bit(self, encoder: PackedEncoder) -> None:
        graphs = Graphs()
        sequences = draw(20, 95, 100)
        graphs.run(encoder, make_pack(sequences), 2048)
        before = graphs.run(encoder, make_pack(sequences), 2048).clone()
        sequences[7] = "W" * len(sequences[7])
        after = graphs.run(encoder, make_pack(sequences), 2048).clone()
        changed = (before != after).any(dim=1).tolist()
        assert [row for row, is_other in enumerate(changed) if is_other] == [7]

    @torch.inference_mode()
    def test_are_made_again_for_another_size(self, encoder: PackedEncoder) -> None:
        graphs = Graphs()
        for full, count in ((2048, 20), (1024, 10), (2048, 20)):
            packed = make_pack(draw(count, 99, 99))
            for _ in range(3):
                found = graphs.run(encoder, packed, full).clone()
                torch.testing.assert_close(found, encoder.embed(packed))
            assert len(graphs._graphs) == 1

    @torch.inference_mode()
    def test_are_not_made_for_what_comes_once(self, encoder: PackedEncoder) -> None:
        graphs = Graphs()
        for count in (20, 10, 5):
            graphs.run(encoder, make_pack(draw(count, 99, 99)), 2048)
        assert not graphs._graphs


class TestBatchesThatWait:
    def test_come_when_they_are_asked_for(
        self, tiny_checkpoint: Path, passes: list[events.PassComputed]
    ) -> None:
        config = ModelConfig(str(tiny_checkpoint), device="cuda", toks_per_batch=2048)
        handler = EsmModelHandler(config, defers=True)
        model = handler.load_model()
        sequences = draw(200)
        batches = [sequences[:100], sequences[50:150], sequences[100:]]  # with common ones
        waiting = [handler.run_inference(make_batch(batch), model) for batch in batches]
        assert not passes
        expected = embed(tiny_checkpoint, sequences, device="cpu")
        passes.clear()
        for batch, (deferred,) in zip(batches, waiting, strict=True):
            assert isinstance(deferred, Deferred)
            (block,) = deferred.resolve()
            assert isinstance(block, EmbeddingBlock)
            rows = [sequences.index(sequence) for sequence in batch]
            assert lowest_cosine(block.vectors, expected[rows]) >= 0.999
        assert sum(each.sequences for each in passes) == 200  # each was computed once
        assert all(each.seconds > 0 for each in passes)


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Leaves 200 MB of what the device has."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 200 * 2**20) / total)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.usefixtures("little_memory")
def test_a_pass_that_does_not_fit_is_halved_and_nothing_is_lost(
    tmp_path: Path, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sequences = draw(6000, 300, 1000)
    (tmp_path / "a.fasta").write_text("".join(f">p{i}\n{s}\n" for i, s in enumerate(sequences)))
    options = ["--model", str(tiny_checkpoint), "--device", "cuda", "--toks_per_batch", "3000000"]
    with heard(events.OutOfMemory) as told:
        code = exit_code_of(main, "--input", tmp_path, "--output", tmp_path / "out", *options)
    assert code == 0, capsys.readouterr().err
    assert told
    content = torch.load(tmp_path / "out/pt/a_ESM.pt", weights_only=True)
    assert content["proteins"] == [f"p{i}" for i in range(len(sequences))]
    some = range(0, len(sequences), 100)
    expected = embed(tiny_checkpoint, [sequences[i] for i in some], device="cpu")
    found = np.stack([content["data"][i].numpy() for i in some])
    assert lowest_cosine(found, expected) >= 0.999
