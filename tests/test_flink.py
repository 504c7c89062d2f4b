"""The command on a real Flink cluster: a jobmanager, two taskmanagers, a pool of Python workers.

THIS SUITE HAS NEVER BEEN RUN: Beam's job server for Flink could not be had where it was written.
It follows Beam's own flink_runner_test.py. The cluster of `tests/flink.py` alone was started with
Flink 2.2.1, and one of its taskmanagers killed and replaced. Where trouble is to be expected, by
Beam's source:

- With checkpoints on, Flink's sources stay up for ever unless `--shutdown_sources_after_idle_ms`
  says otherwise, so a job that was told to end goes on and does nothing. Here they end after a
  minute, as in Beam's own test; so each of the tests with `--watch` takes at least that long.
- Both taskmanagers ask the one pool for workers, and number them each from 1.

To run it: a Flink distribution of the version that the jar is for, Java 17 or later, and

    FASTESM_FLINK_HOME=flink-2.2.1 \\
    FASTESM_FLINK_JOB_SERVER_JAR=beam-runners-flink-2.2-job-server-2.77.0.jar \\
    ./run_local.sh test tests/test_flink.py
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.outcome import (
    Outcome,
    assert_equal,
    draw_records,
    read_outcome,
    write_fasta,
    write_inputs,
)
from tests.flink import Cluster, cluster
from tests.processes import answers, free_port, processes_below, running
from tests.test_engines import command, exit_code
from tests.waiting import feeding, wait_for
from transforms.output.commits import read_commits

HOME, JAR = os.environ.get("FASTESM_FLINK_HOME"), os.environ.get("FASTESM_FLINK_JOB_SERVER_JAR")
MODULES = ("java.base/java.lang", "java.base/java.nio", "java.base/java.util")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (HOME and JAR),
        reason="needs a Flink distribution and Beam's job server for it: FASTESM_FLINK_HOME and "
        "FASTESM_FLINK_JOB_SERVER_JAR name them",
    ),
]


@dataclass(frozen=True)
class Flink:
    """A cluster with workers.

    Attributes:
        cluster: The cluster.
        pool: The process whose children are the Python workers.
        args: What makes the command run there.
    """

    cluster: Cluster
    pool: int
    args: tuple[str, ...]


@pytest.fixture(scope="module")
def flink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flink]:
    folder, port = tmp_path_factory.mktemp("flink"), free_port()
    pool = ("-m", "apache_beam.runners.worker.worker_pool_main", "--service_port", port)
    with (
        cluster(Path(str(HOME)), folder) as started,
        running(*pool, log=folder / "pool") as process,
    ):
        wait_for(lambda: answers(port))
        args = [
            "--runner", "FlinkRunner", "--flink_master", started.master,
            "--flink_job_server_jar", str(JAR), "--parallelism", "2",
            "--environment_type", "EXTERNAL", "--environment_config", f"localhost:{port}",
        ]  # fmt: skip
        opened = [f"--job_server_jvm_properties=--add-opens={m}=ALL-UNNAMED" for m in MODULES]
        yield Flink(started, process.pid, (*args, *opened))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs") / "in"
    write_inputs(folder)
    return folder


def in_memory(inputs: Path, output: Path) -> Outcome:
    assert exit_code(*command(inputs, output)) == 3
    return read_outcome(output)


def watching(flink: Flink, inputs: Path, output: Path, *more: str) -> list[str]:
    return command(
        inputs, output, *flink.args, "--watch", "--poll_seconds", "0.5", "--max_batch_wait", "1",
        "--stop_after", "20", "--checkpointing_interval", "1000",
        "--shutdown_sources_after_idle_ms", "60000", *more,
    )  # fmt: skip


def test_a_batch_gives_what_this_process_gives(flink: Flink, inputs: Path, tmp_path: Path) -> None:
    assert exit_code(*command(inputs, tmp_path / "out", *flink.args)) == 3
    assert_equal(read_outcome(tmp_path / "out"), in_memory(inputs, tmp_path / "other"))


def test_a_watch_takes_what_comes(flink: Flink, tmp_path: Path) -> None:
    inputs, output = tmp_path / "in", tmp_path / "out"
    write_inputs(inputs, files=2, records=60)
    with files_come(inputs, output, lambda: None):
        assert exit_code(*watching(flink, inputs, output)) == 3
    assert_equal(read_outcome(output), in_memory(inputs, tmp_path / "other"))


@pytest.mark.parametrize("victim", ["taskmanager", "worker"])
def test_a_watch_outlives_what_is_killed_in_it(victim: str, flink: Flink, tmp_path: Path) -> None:
    inputs, output = tmp_path / "in", tmp_path / "out"
    write_inputs(inputs, files=2, records=60)

    def kill() -> None:
        if victim == "taskmanager":
            flink.cluster.replace_taskmanager()
        else:
            os.kill(processes_below(flink.pool, "SdkHarness")[0], signal.SIGKILL)

    with files_come(inputs, output, kill):
        assert exit_code(*watching(flink, inputs, output)) == 3
    assert_equal(read_outcome(output), in_memory(inputs, tmp_path / "other"))


def test_a_watch_goes_on_from_a_savepoint(flink: Flink, tmp_path: Path) -> None:
    inputs, output, places = tmp_path / "in", tmp_path / "out", list[str]()
    write_inputs(inputs, files=2, records=60)
    with files_come(inputs, output, lambda: places.append(flink.cluster.stop_with_savepoint())):
        # Flink has ended it; what it is told may differ.
        exit_code(*watching(flink, inputs, output))
    (place,) = places
    assert exit_code(*watching(flink, inputs, output, "--savepoint_path", place)) == 3
    assert_equal(read_outcome(output), in_memory(inputs, tmp_path / "other"))


@contextmanager
def files_come(inputs: Path, output: Path, and_then: Callable[[], None]) -> Iterator[None]:
    """Adds a large file once the first are finished, and does something when a part of it is there.

    After that comes a small one.
    """

    def feed() -> None:
        wait_for(lambda: "f1.faa" in read_commits(str(output)).files)
        write_fasta(inputs / "large.faa", draw_records(random.Random(1), 3000, "large"))
        wait_for(lambda: "large.faa" in read_commits(str(output)).by_source())
        and_then()
        write_fasta(inputs / "last.faa", draw_records(random.Random(2), 9, "last"))

    with feeding(feed):
        yield
