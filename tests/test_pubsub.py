"""Tests of the source that Dataflow reads Pub/Sub with: without Dataflow, and without a network."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.coders import FastPrimitivesCoder
from apache_beam.io.gcp.pubsub import PubsubMessage
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.testing.test_stream import TestStream
from apache_beam.testing.util import assert_that, equal_to

from pipeline.graph import build
from pipeline.runners import run_graph
from tests.helpers import make_output
from transforms.embed import EmbedConfig, EmbedProteins
from transforms.esm.model import ModelConfig
from transforms.messages import decode_messages, from_pubsub
from transforms.output.commits import INPUTS, MESSAGES, Output, read_commits
from transforms.output.committed import read_all_dead_letters, read_all_rows
from transforms.pubsub import GroupPulls, PullFromPubSub
from transforms.pulls import Pull, ReadMessages

NAME = "projects/project/subscriptions/sub"
TIME = datetime(2026, 1, 31, 12, 0, 0, 1, tzinfo=UTC)


def message(number: int, data: bytes, **attributes: str) -> PubsubMessage:
    return PubsubMessage(data, attributes, str(number), TIME)


WAVES = [
    [message(1, b">a\nMKT\n>b\nGG1\n", run="7"), message(2, b'{"id": "j", "sequence": "mkvl"}')],
    [message(3, b"garbage")],
    [message(4, b">d\nMKT\n")],
]
EMBEDDED = [("1", "a"), ("2", "j"), ("4", "d")]
FAILED = [("1", "invalid_residue"), ("3", "not_fasta")]


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return make_output(tmp_path, configuration=((INPUTS, MESSAGES),), pt=False)


def config(checkpoint: Path, **options: Any) -> EmbedConfig:
    model = ModelConfig(str(checkpoint), device="cpu", dtype="float32", toks_per_batch=100)
    return EmbedConfig(model=model, dim=32, **options)


class Arriving(beam.PTransform):
    """The messages, a wave of them at a time, as a stream without an end in sight."""

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[Pull]:
        stream = TestStream(coder=FastPrimitivesCoder()).advance_watermark_to(0)
        for wave in WAVES:
            stream = stream.add_elements(wave).advance_processing_time(10)
        return begin | stream.advance_watermark_to_infinity() | GroupPulls(NAME)


def test_the_line_embeds_what_comes_and_finishes_each_pull(
    output: Output, tiny_checkpoint: Path
) -> None:
    with beam.Pipeline(options=PipelineOptions(["--streaming"])) as pipeline:
        build(pipeline, Arriving(), config(tiny_checkpoint, max_batch_wait=2.0), output, 60.0)
    committed = read_commits(output.root)
    rows, letters = [], []
    for part in committed.parts.values():
        if part.embeddings:
            rows += read_all_rows(output.root, part.embeddings).to_pylist()
        if part.dead_letters:
            letters += read_all_dead_letters(output.root, part.dead_letters)
    assert sorted((row["message_id"], row["id"]) for row in rows) == EMBEDDED
    assert sorted((letter.message_id, letter.error_type) for letter in letters) == FAILED
    assert {row["publish_time"] for row in rows} == {TIME}
    assert len({row["source"] for row in rows} | {letter.source for letter in letters}) == 3
    assert committed.files.keys() == {s for p in committed.parts.values() for s in p.sources}
    assert sum(file.records for file in committed.files.values()) == 5


def test_a_pipeline_of_ones_own_gets_each_record_with_its_message(tiny_checkpoint: Path) -> None:
    messages = [message for wave in WAVES for message in wave]
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        pulls = pipeline | beam.Create(messages) | GroupPulls(NAME)
        found = pulls | ReadMessages() | EmbedProteins(config(tiny_checkpoint))
        ids = found.embeddings | "ids" >> beam.Map(lambda e: (e.message_id, e.id))
        reasons = found.dead_letters | "reasons" >> beam.Map(lambda d: (d.message_id, d.error_type))
        assert_that(ids, equal_to(EMBEDDED), label="embedded")
        assert_that(reasons, equal_to(FAILED), label="failed")
        attributes = found.embeddings | "said" >> beam.Map(lambda e: e.attributes)
        assert_that(attributes, equal_to(['{"run": "7"}', "", ""]), label="attributes")


def test_a_bundle_is_cut_into_pulls_of_a_size_that_can_be_held() -> None:
    def check(pulls: list[Pull]) -> None:
        held = [[int(m.id) for m in decode_messages(data)] for _, data in pulls]
        assert sorted(held) == [[0, 1, 2], [3], [4, 5]], held
        assert len({file.source for file, _ in pulls}) == 3
        assert all(file.source.startswith("pubsub/sub/20") for file, _ in pulls)

    messages = [message(n, b"x" * (50 if n == 3 else 1)) for n in range(6)]

    def graph(pipeline: beam.Pipeline) -> None:
        bundle = pipeline | beam.Create([messages]) | beam.FlatMap(lambda each: each)
        assert_that(bundle | GroupPulls(NAME, most=3, most_bytes=50), check)

    run_graph(graph, [])


def test_the_graph_reads_the_subscription_with_its_attributes(
    output: Output, tiny_checkpoint: Path
) -> None:
    pipeline = beam.Pipeline(options=PipelineOptions(["--streaming"]))
    build(pipeline, PullFromPubSub(NAME, "name"), config(tiny_checkpoint, lanes=8), output, 60.0)
    proto, _ = pipeline.to_runner_api(return_context=True)
    (read,) = (
        each.spec.payload
        for each in proto.components.transforms.values()
        if each.spec.urn == "beam:transform:pubsub_read:v1"
    )
    found = beam_runner_api_pb2.PubSubReadPayload.FromString(read)
    assert (found.subscription, found.id_attribute, found.with_attributes) == (NAME, "name", True)


def test_an_engine_that_does_not_name_its_messages_is_not_gone_along_with() -> None:
    with pytest.raises(ValueError, match="without message_id"):
        from_pubsub(PubsubMessage(b"x", {}))
    bare = from_pubsub(
        SimpleNamespace(message_id="1", publish_time=TIME, attributes=None, data=None)
    )
    assert (bare.attributes, bare.data) == ({}, b"")
