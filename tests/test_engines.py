"""The command on engines whose workers are apart from it: as in memory, row for row."""

from __future__ import annotations

import gzip
import os
import random
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path

import pytest

from pipeline import verify
from pipeline.run import main
from tests.command import exit_code_of
from tests.faults.killing import start
from tests.faults.outcome import (
    Outcome,
    assert_equal,
    draw_records,
    read_outcome,
    write_fasta,
    write_inputs,
)
from tests.outputs import report
from tests.processes import (
    ON_PRISM,
    answers,
    cpu_time,
    free_port,
    needs_prism,
    processes_below,
    running,
)
from tests.waiting import at_each, feeding, once, stop, wait_for
from transforms import events

exit_code = partial(exit_code_of, main)

COUNTED = (
    "files_opened", "files_finished", "files_failed", "records_read", "residues_read",
    "records_embedded", "residues_embedded", "rows_committed", "file_latency_milliseconds_count",
    "dead_letters_read_truncated", "dead_letters_residues_invalid_residue",
    "dead_letters_residues_empty_sequence",
)  # fmt: skip
SLOWLY = ("--toks_per_batch", "60", "--checkpoint_seconds", "0.05")

pytestmark = pytest.mark.slow
ON_PROCESSES = ("--direct_running_mode", "multi_processing", "--direct_num_workers", "2")


def command(inputs: Path, output: Path, *more: str) -> list[str]:
    return ["--input", str(inputs), "--output", str(output), "--model", "demo", "--quiet", *more]


def counted(output: Path) -> dict[str, int]:
    metrics = report(output)["metrics"]
    return {name: metrics.get(name) for name in COUNTED}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files with bad records, an empty one, a broken one, one with gzip, and duplicates."""
    folder = tmp_path_factory.mktemp("engines") / "in"
    write_inputs(folder, files=3, records=130)
    again = draw_records(random.Random(3), 40, "again")
    odd = [("empty", ""), ("long", "MKTAYIAKQR" * 110), ("small", "mktay*")]
    write_fasta(folder / "sub.faa", [*again, *again, *odd])
    (folder / "more").mkdir()
    packed = gzip.compress((folder / "f0.faa").read_bytes())
    (folder / "more/copy.faa.gz").write_bytes(packed)
    return folder


@pytest.fixture(scope="module")
def in_memory(inputs: Path) -> tuple[Outcome, dict[str, int]]:
    output = inputs.parent / "in_memory"
    assert exit_code(*command(inputs, output)) == 3
    outcome = read_outcome(output)
    assert (len(outcome.rows), len(outcome.dead_letters)) == (594, 10)
    return outcome, counted(output)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Beam's job service and a worker pool, each a process of its own: the pool's, and options."""
    folder, port = tmp_path_factory.mktemp("pool"), free_port()
    found = folder / "port"
    service = ("-m", "apache_beam.runners.portability.local_job_service_main")
    workers = ("-m", "apache_beam.runners.worker.worker_pool_main", "--service_port", port)
    with (
        running(*service, "--port_file", found, log=folder / "service"),
        running(*workers, log=folder / "workers") as process,
    ):
        wait_for(lambda: found.exists() and found.read_text() and answers(port))
        yield process.pid, (
            "--runner", "PortableRunner", "--job_endpoint", f"localhost:{found.read_text()}",
            "--environment_type", "EXTERNAL", "--environment_config", f"localhost:{port}",
            "--job_server_timeout", "2",  # to answer: a job may take longer
        )  # fmt: skip


def has_part(output: Path) -> bool:
    return any((output / "commits").glob("part-*"))


def check_whole(output: Path, expected: Outcome) -> None:
    assert_equal(read_outcome(output), expected)
    assert exit_code_of(verify.main, output, "--sample", 0) == 0


@pytest.mark.parametrize(
    ("args", "loads"),
    [
        pytest.param(ON_PRISM, None, id="prism", marks=needs_prism),
        pytest.param(ON_PROCESSES, 2, id="processes"),
        pytest.param(None, 1, id="external"),
    ],
)
def test_an_engine_gives_what_this_process_gives(
    args: tuple[str, ...] | None, loads: int | None, inputs: Path, tmp_path: Path,
    in_memory: tuple[Outcome, dict[str, int]], request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    args = args or request.getfixturevalue("pool")[1]
    with feeding(interrupt_workers if args is ON_PROCESSES else list):
        assert exit_code(*command(inputs, tmp_path, *args)) == 3
    assert_equal(read_outcome(tmp_path), in_memory[0])
    assert counted(tmp_path) == in_memory[1]
    metrics = report(tmp_path)["metrics"]
    assert not [name for name in metrics if ":" in name]
    if loads:  # each process that there is loads the model once
        assert metrics["model_loads"] == loads


def interrupt_workers() -> None:
    """What a terminal does at Ctrl-C, beside telling the command."""
    wait_for(lambda: len(processes_below(os.getpid(), "sdk_worker_main")) == 2)
    for pid in processes_below(os.getpid(), "sdk_worker_main"):
        os.kill(pid, signal.SIGINT)


@pytest.mark.parametrize(
    ("args", "victim", "says"),
    [
        pytest.param(ON_PRISM, "prism", "The engine is gone", id="prism", marks=needs_prism),
        pytest.param(ON_PROCESSES, "sdk_worker_main", "A worker process ended", id="processes"),
    ],
)
def test_what_an_engine_runs_is_killed(
    args: tuple[str, ...], victim: str, says: str, inputs: Path, tmp_path: Path,
    in_memory: tuple[Outcome, dict[str, int]], capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    slow = command(inputs, tmp_path, *SLOWLY)
    with killing(tmp_path, victim):
        assert exit_code(*slow, *args) == 1
    said = capfd.readouterr().err
    assert f"error: {says}" in said
    assert "The same command carries on" in said
    assert "Traceback" not in said
    assert exit_code(*slow) == 3
    check_whole(tmp_path, in_memory[0])


def killing(output: Path, victim: str) -> AbstractContextManager[None]:
    """Kills a process of the engine once a part is committed.

    Prism writes its parts at the very end, in threads of this process: so there it is killed by the
    one that commits, before that can tell that it is done.
    """
    if victim != "prism":
        return feeding(lambda: kill_one(output, os.getpid(), victim))

    def kill_all(_: events.Event) -> None:  # of a test before one may not be gone yet
        for pid in processes_below(os.getpid(), victim):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    return at_each(events.PartCommitted, once(kill_all))


def kill_one(output: Path, pid: int, victim: str) -> None:
    """Kills a process below another one, once a part is committed: of two the one that is idle."""
    wait_for(lambda: has_part(output))
    os.kill(min(processes_below(pid, victim), key=cpu_time), signal.SIGKILL)


def test_a_worker_of_a_pool_is_killed_and_its_successor_drained(
    pool: tuple[int, tuple[str, ...]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pid, args = pool
    inputs, output, other = tmp_path / "in", tmp_path / "out", tmp_path / "other"
    write_inputs(inputs, files=1, records=2000)  # seconds of work, for a stop is looked for in one
    slow = command(inputs, output, *SLOWLY)
    with feeding(lambda: kill_one(output, pid, "SdkHarness")):
        assert exit_code(*slow, *args) == 1
    said = capfd.readouterr().err
    assert "error: A worker process ended before its work did" in said
    assert "Traceback" not in said

    def drain() -> None:
        before = set((output / "commits").glob("part-*"))
        wait_for(lambda: set((output / "commits").glob("part-*")) - before)
        stop()

    with feeding(drain):
        assert exit_code(*slow, *args) == 143
    assert "Stopping: finishing what was read" in capfd.readouterr().err
    assert not list((output / ".locks").glob("end-*"))
    assert exit_code(*command(inputs, output)) == 3
    assert exit_code(*command(inputs, other)) == 3
    check_whole(output, read_outcome(other))


def test_a_command_is_killed_while_its_job_goes_on(
    pool: tuple[int, tuple[str, ...]], inputs: Path, tmp_path: Path,
    in_memory: tuple[Outcome, dict[str, int]],
) -> None:  # fmt: skip
    """The engine knows nothing of it: the job writes on until another run has the output."""
    output = tmp_path / "out"
    slow = command(inputs, output, *SLOWLY, *pool[1])
    process = start("pipeline.run", slow, tmp_path / "log")
    wait_for(lambda: not process.is_alive() or has_part(output))
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL, (tmp_path / "log").read_text()
    assert exit_code(*slow) == 3
    check_whole(output, in_memory[0])


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"--job_endpoint": None}, 2, "needs the --job_endpoint"),
        ({"--environment_config": "localhost:1"}, 1, "does not answer (failed to connect"),
        ({"--environment_type": "PROCESS"}, 1, "no workers of the kind beam:env:process:v1"),
    ],
)
def test_what_is_missing_is_told(
    change: dict[str, str | None], code: int, says: str, pool: tuple[int, tuple[str, ...]],
    inputs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    options = {**dict(zip(pool[1][::2], pool[1][1::2], strict=True)), **change}
    if options["--environment_type"] == "PROCESS":
        options["--environment_config"] = '{"command": "true"}'
    args = [word for pair in options.items() if pair[1] is not None for word in pair if word]
    assert exit_code(*command(inputs, tmp_path / "out", *args)) == code
    assert says in capfd.readouterr().err
