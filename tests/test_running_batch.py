"""Tests of batches that wait on the device, with a CPU that pretends to be one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers import make_output, make_protein
from transforms import events
from transforms.awaiting import Deferred
from transforms.esm import passes
from transforms.esm.bisection import Failure
from transforms.esm.forward import Fetch, Rows, embed_rows
from transforms.esm.known_vectors import KnownVectors
from transforms.esm.loaded import MODELS
from transforms.esm.model import EsmModelHandler, ModelConfig
from transforms.esm.packing import Pack, pack
from transforms.esm.pass_budget import PassBudget
from transforms.esm.passes import _LAUNCHER
from transforms.esm.running_batch import RunningBatch
from transforms.esm.under_way import Notes, _read_note, count_deaths
from transforms.items import Batch, DeadLetter, EmbeddingBlock, Item
from transforms.output.commits import Output

LETTERS = "ACDEFGHIKLMNPQRSTVY"


class Device:
    """Launches passes that are computed when they are fetched.

    Attributes:
        launched: Sequences of each pass.
        fetched: How many passes have been.
        capacity: Tokens that fit into its memory.
    """

    def __init__(self) -> None:
        self.launched: list[int] = []
        self.fetched = 0
        self.capacity = 10**9

    def launch(self, encoder: nn.Module, rows: Rows, full: int = 0) -> Fetch:
        packed = rows if isinstance(rows, Pack) else pack(rows, torch.device("cpu"))
        assert full > 0
        if len(packed.token_ids) > self.capacity:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        self.launched.append(len(rows))

        def fetch() -> np.ndarray:
            self.fetched += 1
            return embed_rows(encoder, packed)

        return fetch


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    device = Device()
    monkeypatch.setattr("transforms.esm.passes.launch_rows", device.launch)
    for module in ("passes", "model"):
        monkeypatch.setattr(f"transforms.esm.{module}.launches_ahead", lambda _: True)
    return device


def wait_for_launches() -> None:
    _LAUNCHER.submit(lambda: None).result()


def draw(count: int, seed: int = 0, longest: int = 60) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices(LETTERS, k=rng.randint(5, longest))) for _ in range(count)]


def make_batch(sequences: list[str]) -> Batch:
    return Batch(tuple(make_protein(i, sequence=s) for i, s in enumerate(sequences)))


def handler_of(checkpoint: Path, **arguments: object) -> EsmModelHandler:
    config = ModelConfig(str(checkpoint), device="cpu", toks_per_batch=256)
    return EsmModelHandler(config, defers=True, **arguments)


def vectors_of(items: list[Item]) -> np.ndarray:
    block = items[0]
    assert isinstance(block, EmbeddingBlock)
    return block.vectors


def plainly(checkpoint: Path, sequences: list[str]) -> np.ndarray:
    config = ModelConfig(str(checkpoint), device="cpu", toks_per_batch=256)
    handler = EsmModelHandler(config)
    return vectors_of(handler.run_inference(make_batch(sequences), handler.load_model()))


@pytest.fixture
def embedded() -> Iterator[list[int]]:
    counts: list[int] = []

    def hear(event: events.Event) -> None:
        if isinstance(event, events.RecordsEmbedded):
            counts.append(event.records)

    with events.listening(hear):
        yield counts


def test_all_is_launched_and_nothing_is_waited_for(
    tiny_checkpoint: Path, device: Device, embedded: list[int]
) -> None:
    handler, sequences = handler_of(tiny_checkpoint), draw(40)
    (deferred,) = handler.run_inference(make_batch(sequences), handler.load_model())
    assert isinstance(deferred, Deferred)
    wait_for_launches()
    assert (sum(device.launched), device.fetched, embedded) == (40, 0, [])
    vectors = vectors_of(deferred.resolve())
    assert device.fetched == len(device.launched)
    assert sum(embedded) == 40
    MODELS.forget()
    np.testing.assert_allclose(vectors, plainly(tiny_checkpoint, sequences), atol=1e-6)
    assert deferred.resolve() is deferred.resolve()


def test_without_being_asked_to_defer_it_waits(tiny_checkpoint: Path, device: Device) -> None:
    sequences = draw(10)
    assert len(plainly(tiny_checkpoint, sequences)) == 10
    assert device.fetched == len(device.launched) > 0


def test_what_the_batch_before_computes_is_not_computed_again(
    tiny_checkpoint: Path, device: Device
) -> None:
    handler, sequences = handler_of(tiny_checkpoint), draw(30)
    first = make_batch(sequences[:20])
    second = make_batch(sequences[10:] + sequences[15:18])
    encoder = handler.load_model()
    (waiting,), (later,) = (handler.run_inference(b, encoder) for b in (first, second))
    wait_for_launches()
    assert sum(device.launched) == 30
    found = vectors_of(later.resolve())  # which brings the first to its end
    assert device.fetched == len(device.launched)
    np.testing.assert_array_equal(found[:10], vectors_of(waiting.resolve())[10:])
    np.testing.assert_array_equal(found[20:], found[5:8])
    handler.run_inference(first, encoder)
    wait_for_launches()
    assert sum(device.launched) == 30


def test_what_does_not_fit_is_halved_when_it_is_launched(
    tiny_checkpoint: Path, device: Device
) -> None:
    device.capacity = 100
    handler = handler_of(tiny_checkpoint)
    sequences = [*draw(30), "A" * 150]
    (deferred,) = handler.run_inference(make_batch(sequences), handler.load_model())
    *block, letter = deferred.resolve()
    assert len(vectors_of(block)) == 30
    assert isinstance(letter, DeadLetter)
    assert (letter.ordinal, letter.error_type) == (30, "oom")


def test_a_failure_of_the_batch_before_is_one_here_too(
    tiny_checkpoint: Path, device: Device
) -> None:
    device.capacity = 100
    handler, encoder = handler_of(tiny_checkpoint), None
    encoder = handler.load_model()
    batches = [make_batch(["A" * 150]), make_batch(["ACD", "A" * 150])]
    (first,), (second,) = (handler.run_inference(batch, encoder) for batch in batches)
    assert [type(item) for item in second.resolve()] == [EmbeddingBlock, DeadLetter]
    assert [type(item) for item in first.resolve()] == [DeadLetter]


def test_sequences_are_noted_until_they_are_fetched(
    tmp_path: Path, tiny_checkpoint: Path, device: Device
) -> None:
    output = make_output(tmp_path)
    handler = handler_of(tiny_checkpoint, output=output)
    encoder = handler.load_model()
    (first,) = handler.run_inference(make_batch(["ACDEF"]), encoder)
    (second,) = handler.run_inference(make_batch(["GHIKL", "MNPQR"]), encoder)
    (note,) = Path(output.root, ".under_way").iterdir()

    def noted() -> int:
        return len(_read_note(str(note)))

    assert noted() == 3
    first.resolve()
    assert noted() == 2
    second.resolve()
    assert noted() == 0


def test_a_suspect_is_alone_with_the_device(
    output: Output, tiny_checkpoint: Path, device: Device
) -> None:
    """A process dies with one batch on the device; after that nothing else runs beside it."""
    handler = handler_of(tiny_checkpoint, output=output)
    handler.run_inference(make_batch(["ACDEF", "GHIKL"]), handler.load_model())
    count_deaths(output.root)
    notes = Notes(output.root, "later")
    assert notes.has_suspect(["STVYA", "ACDEF"])
    assert not notes.has_suspect(["STVYA"])

    def begin(*sequences: str, before: RunningBatch | None = None) -> RunningBatch:
        proteins = make_batch(list(sequences)).proteins
        known = KnownVectors()
        return RunningBatch(
            proteins, handler.load_model(), PassBudget(256), 1024, notes, known, before
        )

    del device.launched[:]
    before = begin("MNPQR")
    fetched = device.fetched
    running = begin("ACDEF", "STVYA", before=before)
    wait_for_launches()
    # The batch before, and the suspect; the rest has been launched.
    assert (device.launched, device.fetched - fetched) == ([1, 1, 1], 2)
    assert not notes.has_suspect(["ACDEF"])
    assert all(not isinstance(v, Failure) for v in running.finish().values())
    # GHIKL may be of a file that another worker reads: nobody waits for it.
    fetched = device.fetched
    later = begin("WYWYW", before=begin("CDEFG"))
    wait_for_launches()
    assert device.fetched == fetched
    later.finish()
    assert notes.has_suspect(["GHIKL"])
    begin("GHIKL").finish()
    assert not notes.has_suspect(["GHIKL"])


def test_a_batch_with_nothing_to_compute_leaves_the_device_untried(
    output: Output, tiny_checkpoint: Path, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[object] = []
    monkeypatch.setattr(passes, "_try_out", tried.append)
    handler = handler_of(tiny_checkpoint, output=output)
    for sequences in ([], ["ACDEF"], ["GHIKL"]):
        for item in handler.run_inference(make_batch(sequences), handler.load_model()):
            assert isinstance(item, Deferred)
            item.resolve()
    assert len(tried) == 1
