"""Pub/Sub as the emulator does it, and processes that are killed: no record is lost or doubled."""

from __future__ import annotations

import base64
import json
import random
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import pytest

from pipeline.messages.publishing import open_topics
from pipeline.messages.pulling import LEASE_SECONDS
from pipeline.messages.subscription import open_subscription
from pipeline.messages.topic import open_topic
from pipeline.options import parse_options
from tests.emulator import Queue, emulator, why_not
from tests.faults.killing import Point, run, start
from tests.faults.outcome import draw_records
from transforms.errors import ConfigurationError
from transforms.results import MAX_ATTRIBUTES, MESSAGE_BYTES, Outgoing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with emulator(tmp_path_factory.mktemp("emulator") / "log") as host:
        yield host


def draw_messages(draw: random.Random, count: int, name: str) -> list[tuple[bytes, list[str]]]:
    """Returns messages with the ids of their records: FASTA of one to three, JSON, and garbage."""
    messages = []
    for number in range(count):
        records = draw_records(draw, draw.choice([1, 1, 1, 2, 3]), f"{name}{number}")
        text = "".join(f">{header}\n{sequence}\n" for header, sequence in records)
        ids = [header.split()[0] for header, _ in records]
        if number % 50 == 49:
            text, ids = f"garbage {number}", [""]
        elif number % 5 == 0:
            text = json.dumps({"id": ids[0], "sequence": records[0][1]})
            ids = ids[:1]
        messages.append((text.encode(), ids))
    return messages


def outcomes(output: Path) -> list[tuple[str, str]]:
    """Message and id of each row and each dead letter, as one who takes every file reads them."""
    rows = ds.dataset(output / "embeddings", format="parquet").to_table(
        columns=["message_id", "id"]
    )
    found = [(row["message_id"], row["id"]) for row in rows.to_pylist()]
    for path in (output / "dead_letters").glob("*.jsonl"):
        letters = map(json.loads, path.read_text().splitlines())
        found += [(letter["message_id"], letter["id"]) for letter in letters]
    return sorted(found)


def check_published(output: Path, answers: Queue, letters: Queue) -> None:
    """Each outcome is published, perhaps more than once, and nothing else is."""
    lines = {line for path in (output / "dead_letters").glob("*.jsonl") for line in path.open("rb")}
    assert {message.data + b"\n" for message in letters.take_all()} == lines
    rows = ds.dataset(output / "embeddings", format="parquet").to_table().to_pylist()
    vectors = {
        (row["message_id"], row["ordinal"]): np.array(row["embedding"], "<f4").tobytes()
        for row in rows
    }
    failed = {(letter["message_id"], letter["ordinal"]) for letter in map(json.loads, lines)}
    published = answers.take_all()
    told = set()
    for content in (json.loads(message.data) for message in published):
        for record in content["records"]:
            key = content["message_id"], record["ordinal"]
            told.add(key)
            if record["status"] == "embedded":
                assert base64.b64decode(record["embedding"]) == vectors[key]
            else:
                assert key in failed
    assert told == vectors.keys() | failed
    assert {message.attributes["message_id"] for message in published} == {key[0] for key in told}


def command(host: str, queues: Sequence[Queue], output: Path, stop_after: float) -> list[object]:
    queue, answers, letters = queues
    return [
        host, "--input_subscription", queue.subscription, "--output", output, "--model", "demo",
        "--output_topic", answers.topic, "--dead_letter_topic", letters.topic,
        "--toks_per_batch", 300, "--checkpoint_seconds", 0.2, "--max_batch_wait", 0.5,
        "--stop_after", stop_after,
    ]  # fmt: skip


def test_killed_at_chosen_points_and_at_random(host: str, tmp_path: Path) -> None:
    output, log = tmp_path / "out", tmp_path / "log"
    queue, answers, letters = queues = [Queue(host) for _ in range(3)]
    draw = random.Random(0)
    wanted: list[tuple[str, str]] = []

    def publish(count: int, name: str) -> None:
        messages = draw_messages(draw, count, name)
        published = queue.publish([data for data, _ in messages])
        for message_id, (_, ids) in zip(published, messages, strict=True):
            wanted.extend((message_id, record_id) for record_id in ids)

    for number, point in enumerate(
        [
            Point(".spool/pubsub/", "", "before write"),
            Point(".spool/pubsub/", "", "after rename"),
            Point("commits/part-", ".json", "after rename", 1),
            Point("commits/files-", ".json", "after rename"),
            Point(".spool/done/", "", "before write"),
            Point(".spool/done/", "", "after rename"),
        ]
    ):
        publish(80, f"k{number}_")
        died = run("tests.emulator", command(host, queues, output, LEASE_SECONDS * 3), log, point)
        assert died == -signal.SIGKILL, log.read_text()
    for number in range(3):
        publish(80, f"r{number}_")
        process = start("tests.emulator", command(host, queues, output, LEASE_SECONDS * 3), log)
        process.join(draw.uniform(0.5, 5))
        process.kill()
        process.join()
    # What the killed ones held comes again when their leases are over.
    last = run("tests.emulator", command(host, queues, output, LEASE_SECONDS * 1.5), log)
    assert last == 3, log.read_text()
    assert outcomes(output) == sorted(wanted)
    assert queue.is_empty()
    check_published(output, answers, letters)
    assert run("pipeline.verify", [output], log) == 0, log.read_text()


def test_topics_as_the_emulator_has_them(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    queue, missing = Queue(host), "projects/proj/topics/missing"
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", host)
    argv = ["--input_subscription", queue.subscription, "--output", "out", "--output_topic"]
    subscription = open_subscription(queue.subscription)
    for name, says in (
        (missing, f"There is no topic {missing}. Create it (gcloud pubsub topics create missing"),
        (queue.topic, "would come back without an end"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            open_topics(parse_options([*argv, name]), subscription)
        assert says in str(caught.value)
    most = {f"{n:0256}": "v" * 1024 for n in range(MAX_ATTRIBUTES)}
    messages = [
        Outgoing(b"{}", {"data": "1", "topic": "2", "retry": ""}),
        Outgoing(b"x" * 3_000_000, most),
    ]
    topic = open_topic(queue.topic, "output_topic")
    topic.publish(messages, lambda: True)
    found = [Outgoing(each.data, dict(each.attributes)) for each in queue.take_all()]
    assert sorted(found, key=lambda each: len(each.data)) == messages
    # Google's client does not take it back from an emulator: more than 4 MiB.
    topic.publish([Outgoing(b"x" * MESSAGE_BYTES, most)], lambda: True)
