from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.util import assert_that, equal_to

from transforms import (
    DeadLetter,
    EmbedConfig,
    Embedding,
    EmbedProteins,
    FindFasta,
    ModelConfig,
    Protein,
    ReadFasta,
)
from transforms.esm.checkpoints import find_checkpoint
from transforms.esm.encoder import pack_encoder
from transforms.esm.pass_budget import PassBudget
from transforms.esm.passes import embed_passes
from transforms.esm.weights import load_encoder

GOOD, BAD = {"a": "MKTAYI", "b": "GGG", "c": "MKTAYI"}, {"d": "MK7", "e": "*"}


def config(checkpoint: Path, **fields: Any) -> EmbedConfig:
    model = ModelConfig(str(checkpoint), dtype="float32", device="cpu")
    return EmbedConfig(model=model, **fields)


def bits(embedding: Embedding) -> tuple[str, bytes]:
    return embedding.id, embedding.vector.tobytes()


def reason(letter: DeadLetter) -> tuple[str, str]:
    return letter.id, letter.error_type


def proteins(sequences: dict[str, str]) -> Iterable[Protein]:
    for ordinal, (name, sequence) in enumerate(sequences.items()):
        yield Protein("mine", ordinal, name, "", sequence, "")


def test_every_record_comes_out_once_as_embedding_or_dead_letter(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    path = tmp_path / "p.faa"
    path.write_text("".join(f">{name}\n{text}\n" for name, text in (GOOD | BAD).items()))
    model = pack_encoder(load_encoder(find_checkpoint(str(tiny_checkpoint)), "float32", "cpu"))
    (expected,) = embed_passes(model, sorted(set(GOOD.values())), PassBudget(2048), 1024)
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        found = (
            pipeline
            | FindFasta.matching(str(path))
            | ReadFasta()
            | EmbedProteins(config(tiny_checkpoint))
        )
        vectors = [(name, np.asarray(expected[s]).tobytes()) for name, s in GOOD.items()]
        assert_that(found.embeddings | beam.Map(bits), equal_to(vectors), label="embeddings")
        assert_that(
            found.dead_letters | beam.Map(reason),
            equal_to([("d", "invalid_residue"), ("e", "empty_sequence")]),
            label="dead letters",
        )


def test_twice_in_one_pipeline_neither_copy_loses_a_record(tiny_checkpoint: Path) -> None:
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        items = pipeline | beam.Create(list(proteins(GOOD)))
        for label in ("one", "other"):
            found = items | label >> EmbedProteins(config(tiny_checkpoint))
            ids = found.embeddings | f"{label} ids" >> beam.Map(lambda e: e.id)
            assert_that(ids, equal_to(list(GOOD)), label=f"all of {label}")


def test_a_model_of_another_width_gives_dead_letters_not_vectors(tiny_checkpoint: Path) -> None:
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        items = pipeline | beam.Create(list(proteins(GOOD)))
        found = items | EmbedProteins(config(tiny_checkpoint, dim=1280))
        assert_that(found.embeddings, equal_to([]), label="nothing")
        assert_that(
            found.dead_letters | beam.Map(reason),
            equal_to([(name, "wrong_dimension") for name in GOOD]),
            label="all dead",
        )


@pytest.mark.parametrize("kept", [0, 1])
def test_a_kept_vector_does_not_keep_its_block(kept: int) -> None:
    from tests.helpers import make_block, make_protein
    from transforms.embed import split_block

    embedding = list(split_block(make_block(make_protein(0), make_protein(1))))[kept]
    assert embedding.vector.base is None
    assert json.dumps(embedding.ordinal) == str(kept)
