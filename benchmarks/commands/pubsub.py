"""Messages of Pub/Sub at a steady rate, with a kill in the middle: latency, and what is lost.

Starts Google's emulator and the command, publishes a short protein a message, kills the command
with SIGKILL after half of them and starts it again at once. The latency of a record is the time
from its publishing to its commit, both as the output tells them. Exit code 1: a message was lost or
doubled.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.keeping import Kept
from benchmarks.mixes import draw_short
from pipeline.option_groups.values import positive
from tests.emulator import Queue, emulator, why_not

PERCENTILES = (50, 90, 99, 100)
SECONDS_TO_COME_AGAIN = 50


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this benchmark."""
    add = parser.add_argument
    add("--records", type=positive, default=10_000, help="how many (%(default)s)")
    add("--rate", type=float, default=200.0, help="published a second (%(default)s)")
    add("--no_kill", action="store_true", help="let the command live")


def run(options: argparse.Namespace, kept: Kept) -> int:
    """Measures and prints."""
    if reason := why_not():
        raise SystemExit(reason)
    with tempfile.TemporaryDirectory(prefix="pubsub-") as folder:
        result = measure(options, Path(folder))
    kept.keep(result)
    print(json.dumps(result, indent=1))
    return int(bool(result["lost"] or result["doubled"]))


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Publishes, embeds and counts."""
    sequences = draw_short(options.records)
    with emulator(folder / "emulator.log") as host:
        queue = Queue(host)
        process = _start(host, queue, folder)
        _wait_for_model(folder)
        futures = []
        start = time.monotonic()
        for number, sequence in enumerate(sequences):
            time.sleep(max(0.0, start + number / options.rate - time.monotonic()))
            futures.append(queue.publish_later(f">r{number}\n{sequence}\n".encode()))
            if number == options.records // 2 and not options.no_kill:
                process.kill()
                process.wait()
                process = _start(host, queue, folder)
        published = [future.result() for future in futures]
        seconds = time.monotonic() - start
        exit_code = process.wait()
    if exit_code:
        print((folder / "log").read_text()[-3000:], file=sys.stderr)
    messages, latencies = zip(*read_latencies(folder / "out"), strict=True)
    seen = Counter(messages)
    return {
        "published_per_second": round(options.records / seconds, 1),
        "exit_code": exit_code,
        "lost": len(set(published) - seen.keys()),
        "doubled": sum(seen.values()) - len(seen),
        "latency_seconds": {
            f"p{each}": round(float(np.percentile(latencies, each)), 2) for each in PERCENTILES
        },
    }


def _start(host: str, queue: Queue, folder: Path) -> subprocess.Popen[bytes]:
    command = [
        sys.executable, "-m", "pipeline", "--input_subscription", queue.subscription, "--output",
        folder / "out", "--model", "demo", "--stop_after", str(SECONDS_TO_COME_AGAIN),
    ]  # fmt: skip
    with (folder / "log").open("ab") as log:
        environment = os.environ | {"PUBSUB_EMULATOR_HOST": host}
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment)


def _wait_for_model(folder: Path) -> None:
    while "Waiting for messages" not in (folder / "log").read_text():
        time.sleep(0.1)


def read_latencies(output: Path) -> list[tuple[str, float]]:
    """Returns the message of each row of an output, and the seconds until its commit."""
    found = []
    for path in (output / "commits").glob("part-*.json"):
        part = json.loads(path.read_text())
        if part["embeddings"] is None:
            continue
        committed = datetime.fromisoformat(part["time"])
        table = pq.read_table(
            output / "embeddings" / part["embeddings"], columns=["message_id", "publish_time"]
        )
        for row in table.to_pylist():
            latency = (committed - row["publish_time"]).total_seconds()
            found.append((row["message_id"], latency))
    return found
