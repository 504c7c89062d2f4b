from __future__ import annotations

import pickle
import random
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers import make_dead_letter, make_end, make_output, make_protein
from tests.model_helpers import embed_alone, load_reference, worst_difference
from transforms import events
from transforms.esm.encoding import VOCAB
from transforms.esm.model import EsmModelHandler, ModelConfig
from transforms.esm.under_way import count_deaths
from transforms.items import Batch, DeadLetter, EmbeddingBlock, Item
from transforms.residues import ALLOWED_RESIDUES


class Composition(torch.nn.Module):
    """Gives one-hot hidden states, so that a mean is the composition of its sequence."""

    def __init__(self, capacity: int = 10**9) -> None:
        super().__init__()
        self.capacity = capacity
        self.passes: list[list[list[int]]] = []

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        assert torch.equal(attention_mask, (input_ids != 1).long())
        assert torch.is_inference_mode_enabled()
        self.passes.append(input_ids.tolist())
        if input_ids.numel() > self.capacity:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        if (input_ids == VOCAB.index("W")).any():
            raise ValueError("no W, please")
        return SimpleNamespace(last_hidden_state=torch.nn.functional.one_hot(input_ids, 33).float())


def composition(sequence: str) -> np.ndarray:
    return np.array([sequence.count(token) / len(sequence) for token in VOCAB], dtype=np.float32)


def random_sequences(count: int, shortest: int, longest: int, letters: str) -> list[str]:
    rng = random.Random(0)
    return ["".join(rng.choices(letters, k=rng.randint(shortest, longest))) for _ in range(count)]


def make_batch(sequences: Sequence[str]) -> Batch:
    return Batch(tuple(make_protein(i, sequence=s) for i, s in enumerate(sequences)))


def infer(batch: Batch, model: torch.nn.Module, **config: Any) -> list[Item]:
    return EsmModelHandler(ModelConfig(**config)).run_inference(batch, model)


def split(outcome: Sequence[Item]) -> tuple[EmbeddingBlock, list[Item]]:
    block, *others = outcome
    assert isinstance(block, EmbeddingBlock)
    return block, others


def assert_compositions(block: EmbeddingBlock) -> None:
    expected = [composition(protein.used) for protein in block.proteins]
    np.testing.assert_allclose(block.vectors, expected, atol=1e-6)


class TestIsolation:
    def test_one_bad_record_of_64(self) -> None:
        sequences = random_sequences(64, 30, 30, "ACDEFGHIKL")
        sequences[17] = "W" * 30
        batch = make_batch(sequences)
        block, (letter,) = split(infer(batch, Composition()))
        assert block.proteins == batch.items[:17] + batch.items[18:]
        assert_compositions(block)
        assert isinstance(letter, DeadLetter)
        # In passes of 64, 32, 16, 8, 4, 2 and 1.
        assert (letter.ordinal, letter.stage, letter.attempts) == (17, "inference", 7)
        assert (letter.error_type, letter.message) == ("ValueError", "no W, please")
        assert letter.sequence == sequences[17]

    def test_passes_that_do_not_fit_into_memory(self) -> None:
        batch = make_batch(random_sequences(64, 30, 30, "ACDEFGHIKL"))
        model, seen = Composition(capacity=500), []
        with events.listening(seen.append):
            (block,) = infer(batch, model)
        assert isinstance(block, EmbeddingBlock)
        assert block.proteins == batch.items
        assert_compositions(block)
        assert [len(ids) for ids in model.passes] == [64, 32, 16, 8, 8, 16, 8, 8] + [
            *(32, 16, 8, 8, 16, 8, 8)
        ]
        assert sum(isinstance(event, events.OutOfMemory) for event in seen) == 7

    def test_a_record_that_does_not_fit_alone(self) -> None:
        batch = make_batch(["ACD", "ACDEFGHIKL" * 100, "DEF"])
        block, (letter,) = split(infer(batch, Composition(capacity=500)))
        assert [protein.ordinal for protein in block.proteins] == [0, 2]
        assert isinstance(letter, DeadLetter)
        # Its first pass held a second record.
        assert (letter.ordinal, letter.error_type, letter.attempts) == (1, "oom", 2)

    def test_no_block_where_nothing_is_embedded(self) -> None:
        outcome = infer(make_batch(["WWW", "AWA"]), Composition())
        assert [type(item) for item in outcome] == [DeadLetter, DeadLetter]

    def test_a_broken_device_stops(self) -> None:
        class Broken(torch.nn.Module):
            def forward(self, **_: Any) -> Any:
                raise torch.AcceleratorError("CUDA error: device-side assert triggered")

        with pytest.raises(torch.AcceleratorError):
            infer(make_batch(["ACD", "DEF"]), Broken())

    @pytest.mark.parametrize(
        ("fields", "error_type"),
        [
            ({"sequence": "MK*T"}, "invalid_residue"),
            ({"sequence": "MKTA", "residues_used": 0}, "empty_sequence"),
            ({"sequence": "MKTA", "residues_used": 5}, "token_mismatch"),
        ],
    )
    def test_tokens_that_are_not_residues_plus_two(
        self, fields: dict[str, Any], error_type: str
    ) -> None:
        """What CheckResidues should have seen to gives no vector."""
        batch = Batch((make_protein(0), make_protein(1, **fields)))
        block, (letter,) = split(infer(batch, Composition()))
        assert [protein.ordinal for protein in block.proteins] == [0]
        assert isinstance(letter, DeadLetter)
        assert (letter.ordinal, letter.error_type) == (1, error_type)


class TestBatch:
    def test_everything_else_comes_out_as_it_came(self) -> None:
        others = (make_dead_letter(7), make_end(2), make_end(3, source="b.fa"))
        first, bad, last = make_protein(0), make_protein(1, sequence="W"), make_protein(2)
        batch = Batch((others[0], first, others[1], bad, last, others[2]))
        block, outcome = split(infer(batch, Composition()))
        assert block.proteins == (first, last)
        assert outcome[0] is others[0]
        assert outcome[1] is others[1]
        assert isinstance(outcome[2], DeadLetter)
        assert outcome[3] is others[2]

    def test_without_proteins_the_model_is_not_run(self) -> None:
        model, end = Composition(), make_end(0)
        assert infer(Batch((end,)), model) == [end]
        assert model.passes == []

    def test_identical_sequences_are_computed_once(self) -> None:
        sequences = ["ACD", "DEF", "ACD", "ACDEF", "ACD"]
        proteins = [make_protein(i, sequence=s) for i, s in enumerate(sequences)]
        proteins.append(make_protein(5, sequence="ACDEFGHIKL", residues_used=3))
        model = Composition()
        (block,) = infer(Batch(tuple(proteins)), model)
        assert isinstance(block, EmbeddingBlock)
        assert block.proteins == tuple(proteins)
        assert_compositions(block)
        assert sum(len(ids) for ids in model.passes) == 3

    def test_a_sequence_of_an_earlier_batch_is_not_computed_again(self) -> None:
        model = Composition()
        infer(make_batch(["ACD", "DEF"]), model)
        seen: list[events.Event] = []
        with events.listening(seen.append):
            (block,) = infer(make_batch(["DEF", "EFG", "ACD", "ACD"]), model)
        assert isinstance(block, EmbeddingBlock)
        assert_compositions(block)
        assert [len(ids) for ids in model.passes] == [2, 1]
        records = [e.records for e in seen if isinstance(e, events.RecordsEmbedded)]
        assert records == [3, 1]

    def test_a_failure_is_not_remembered(self) -> None:
        model = Composition(capacity=10)
        assert isinstance(infer(make_batch(["ACDEFGHIK"]), model)[0], DeadLetter)
        model.capacity = 20
        assert isinstance(infer(make_batch(["ACDEFGHIK"]), model)[0], EmbeddingBlock)

    def test_windows_are_not_taken_for_the_whole(self) -> None:
        model, batch = Composition(), make_batch(["ACDEF"])
        for size in (5, 3, 5):
            EsmModelHandler(ModelConfig(), max_residues=size).run_inference(batch, model)
        assert [[len(ids) - 2 for ids in rows] for rows in model.passes] == [[5], [3, 3]]

    def test_what_ran_out_of_memory_once_is_not_tried_again(self) -> None:
        model = Composition(capacity=500)
        infer(make_batch(random_sequences(64, 30, 30, "ACDEFGHIKL")), model)
        model.passes.clear()
        infer(make_batch(random_sequences(64, 30, 30, "MNPQRSTVY")), model)
        assert [len(ids) for ids in model.passes] == [8] * 8

    def test_passes_keep_the_budget(self) -> None:
        model = Composition()
        infer(make_batch(random_sequences(50, 1, 60, "ACDEFGHIKL")), model, toks_per_batch=200)
        assert max(len(ids) * len(ids[0]) for ids in model.passes) <= 200
        assert len(model.passes[0][0]) == max(len(ids[0]) for ids in model.passes)

    def test_vectors_are_float32_and_own_their_memory(self) -> None:
        (block,) = infer(make_batch(["ACD", "DEF"]), Composition())
        assert isinstance(block, EmbeddingBlock)
        assert block.vectors.dtype == np.float32
        assert block.vectors.shape == (2, 33)
        assert block.vectors.flags.owndata

    def test_listeners_hear_of_whole_sequences(self) -> None:
        seen: list[events.Event] = []
        batch = Batch(
            (
                make_protein(0, sequence="ACDEF", residues_used=3),
                make_protein(1, sequence="ACD"),
                make_protein(2, sequence="WWWW"),
            )
        )
        with events.listening(seen.append):
            infer(batch, Composition())
        assert [event for event in seen if isinstance(event, events.RecordsEmbedded)] == [
            events.RecordsEmbedded(records=2, residues=8)
        ]
        assert sum(isinstance(event, events.RecordFailed) for event in seen) == 1

    def test_beam_is_told_what_a_batch_is(self) -> None:
        handler = EsmModelHandler(ModelConfig())
        batch = Batch((make_protein(0, sequence="ACDEF", residues_used=3), make_end(1)))
        assert handler.should_skip_batching()
        assert handler.get_num_bytes(batch) == 3
        assert handler.get_metrics_namespace() == "EsmModelHandler"


class TestDeaths:
    """What breaks the device twice is dead-lettered at the third start."""

    class Fragile(Composition):
        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
            if (input_ids == VOCAB.index("Y")).any():
                raise torch.AcceleratorError("CUDA error: device-side assert triggered")
            return super().forward(input_ids, attention_mask)

    def start(self, root: Path, run: str, batch: Batch) -> list[Item]:
        output = make_output(root, run=run)
        count_deaths(output.root)
        handler = EsmModelHandler(ModelConfig(), output=output)
        # As it comes to a worker.
        sent: EsmModelHandler = pickle.loads(pickle.dumps(handler))
        return list(sent.run_inference(batch, self.Fragile()))

    def test_every_record_of_a_killer_is_dead_lettered_and_no_other(self, tmp_path: Path) -> None:
        batch = Batch(
            (
                make_protein(0, sequence="ACD"),
                make_protein(1, sequence="AYD"),
                make_end(4),
                make_protein(2, sequence="AYDEF", residues_used=3),
                make_protein(3, sequence="DEF"),
            )
        )
        for run in ("run1", "run2"):
            with pytest.raises(torch.AcceleratorError):
                self.start(tmp_path, run, batch)
        block, others = split(self.start(tmp_path, "run3", batch))
        assert [protein.ordinal for protein in block.proteins] == [0, 3]
        assert_compositions(block)
        assert others[1] is batch.items[2]
        for letter, ordinal in ((others[0], 1), (others[2], 2)):
            assert isinstance(letter, DeadLetter)
            assert (letter.ordinal, letter.stage) == (ordinal, "inference")
            assert (letter.error_type, letter.attempts) == ("process_died", 2)
            assert "--retry_failed" in letter.message

    def test_trying_again_within_a_run_counts_as_one_death(self, tmp_path: Path) -> None:
        """A runner may give a failed batch to the same process again, up to four times."""
        batch = make_batch(["AYD"])
        output = make_output(tmp_path, run="run1")
        handler = EsmModelHandler(ModelConfig(), output=output)
        for _ in range(4):
            with pytest.raises(torch.AcceleratorError):
                handler.run_inference(batch, self.Fragile())
        with pytest.raises(torch.AcceleratorError):  # one death: it is tried again
            self.start(tmp_path, "run2", batch)
        (letter,) = self.start(tmp_path, "run3", batch)
        assert isinstance(letter, DeadLetter)
        assert letter.attempts == 2

    def test_without_an_output_nothing_is_noted(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        for _ in range(3):
            with pytest.raises(torch.AcceleratorError):
                infer(make_batch(["AYD"]), self.Fragile())
        assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def references(tiny_checkpoint: Path) -> dict[str, np.ndarray]:
    """Sequences and their vectors, one at a time, in float32."""
    reference = load_reference(tiny_checkpoint)
    sequences = random_sequences(60, 1, 150, ALLOWED_RESIDUES)
    return {sequence: embed_alone(reference, sequence) for sequence in sequences}


class TestVectors:
    @pytest.mark.parametrize("toks_per_batch", [1, 300, 2048, 100_000])
    @pytest.mark.parametrize("order", ["shuffled", "reversed"])
    def test_agree_with_the_reference(
        self,
        tiny_checkpoint: Path,
        references: dict[str, np.ndarray],
        toks_per_batch: int,
        order: str,
    ) -> None:
        """Whatever the batch mates, the order and the batch size."""
        sequences = list(references)
        ordered = sequences[::-1]
        if order == "shuffled":
            ordered = random.Random(1).sample(sequences, len(sequences))
        config = ModelConfig(str(tiny_checkpoint), device="cpu", toks_per_batch=toks_per_batch)
        handler = EsmModelHandler(config)
        batch = make_batch(ordered)
        (block,) = handler.run_inference(batch, handler.load_model())
        assert isinstance(block, EmbeddingBlock)
        assert block.proteins == batch.items
        expected = np.stack([references[sequence] for sequence in ordered])
        assert worst_difference(block.vectors, expected) < 1e-5
