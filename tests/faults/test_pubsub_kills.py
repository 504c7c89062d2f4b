"""Pub/Sub as the emulator does it, and processes that are killed: no message is lost or doubled."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from pipeline.pulling import LEASE_SECONDS
from tests.emulator import Queue, emulator, why_not
from tests.faults.killing import Point, run, start
from tests.faults.outcome import draw_records

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


def command(host: str, queue: Queue, output: Path, stop_after: float) -> list[object]:
    return [
        host, "--input_subscription", queue.subscription, "--output", output, "--model", "demo",
        "--toks_per_batch", 300, "--checkpoint_seconds", 0.2, "--max_batch_wait", 0.5,
        "--stop_after", stop_after,
    ]  # fmt: skip


def test_killed_at_chosen_points_and_at_random(host: str, tmp_path: Path) -> None:
    output, log, queue = tmp_path / "out", tmp_path / "log", Queue(host)
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
            Point(".spool/done/", "", "after rename"),
        ]
    ):
        publish(80, f"k{number}_")
        died = run("tests.emulator", command(host, queue, output, LEASE_SECONDS * 3), log, point)
        assert died == -signal.SIGKILL, log.read_text()
    for number in range(3):
        publish(80, f"r{number}_")
        process = start("tests.emulator", command(host, queue, output, LEASE_SECONDS * 3), log)
        process.join(draw.uniform(0.5, 5))
        process.kill()
        process.join()
    # What the killed ones held comes again when their leases are over.
    last = run("tests.emulator", command(host, queue, output, LEASE_SECONDS * 1.5), log)
    assert last == 3, log.read_text()
    assert outcomes(output) == sorted(wanted)
    assert queue.is_empty()
    assert run("pipeline.verify", [output], log) == 0, log.read_text()
