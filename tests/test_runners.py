from __future__ import annotations

import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import apache_beam as beam
import grpc
import pytest
from apache_beam.metrics import Metrics
from apache_beam.options.pipeline_options import StandardOptions
from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability.fn_api_runner.worker_handlers import ControlConnection
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec

from pipeline.beam_workarounds import ENDED, answer_for_the_dead
from pipeline.checks import prepare
from pipeline.engine_errors import root_cause
from pipeline.options import parse_options
from pipeline.runners import (
    GraphError,
    are_workers_elsewhere,
    check_runner,
    count_workers,
    is_heard,
    make_options,
    run_graph,
)
from tests.processes import ON_PRISM, needs_prism
from transforms.errors import ConfigurationError
from transforms.lanes import BYTES_PER_LANE


@pytest.mark.parametrize(
    ("args", "runner"),
    [
        ([], "FnApiRunner"),
        (["--runner=DirectRunner"], "FnApiRunner"),
        (["--runner=direct"], "FnApiRunner"),
        (["--runner=SwitchingDirectRunner"], "FnApiRunner"),
        (["--runner=PrismRunner"], "PrismRunner"),
        (["--runner=prism"], "PrismRunner"),
        (["--runner=prismrunner"], "PrismRunner"),
        (["--runner=apache_beam.runners.portability.flink_runner.FlinkRunner"], "FlinkRunner"),
        (["--runner=somebody.s.Runner"], "somebody.s.Runner"),
    ],
)
def test_the_local_engine_is_pinned_and_others_are_left(args: list[str], runner: str) -> None:
    assert make_options(args).view_as(StandardOptions).runner == runner


def test_a_job_that_did_its_work_has_not_failed_for_want_of_metrics(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise LookupError("Found no metrics container for job 7")

    monkeypatch.setattr(
        "apache_beam.runners.portability.fn_api_runner.fn_runner.RunnerResult.metrics", refuse
    )
    assert run_graph(lambda pipeline: pipeline | beam.Create([1]), ()) == {}
    assert "does not tell its metrics: Found no metrics container" in caplog.text


@pytest.mark.parametrize(
    ("args", "are_elsewhere"),
    [
        ([], False),
        (["--direct_running_mode=multi_processing"], False),
        (["--runner=PrismRunner"], False),
        (["--runner=DataflowRunner"], True),
        (["--runner=PortableRunner", "--environment_type=EXTERNAL"], True),
        (["--runner=PortableRunner", "--environment_type=LOOPBACK"], False),
        (["--runner=FlinkRunner"], False),
        (["--runner=FlinkRunner", "--environment_type=EXTERNAL"], True),
        (["--runner=FlinkRunner", "--flink_master=manager:8081"], True),
    ],
)
def test_which_engines_have_other_devices_than_this_machine(
    args: list[str], are_elsewhere: bool
) -> None:
    assert are_workers_elsewhere(args) == are_elsewhere


@pytest.mark.parametrize(
    ("args", "workers"),
    [
        ("", 1),
        ("--runner=DirectRunner --direct_running_mode=multi_processing --direct_num_workers=4", 1),
        ("--runner=PrismRunner", 1),
        ("--runner=PortableRunner --job_endpoint=localhost:1", 16),
        ("--runner=FlinkRunner", 16),
        ("--runner=FlinkRunner --parallelism=40", 40),
        ("--runner=DataflowRunner --num_workers=2 --max_num_workers=100", 100),
        ("--runner=DataflowRunner --num_workers=200", 200),
    ],
)
def test_workers_are_counted_by_the_options(args: str, workers: int) -> None:
    assert count_workers(args.split()) == workers


@pytest.mark.parametrize(
    ("args", "lanes"),
    [((), 1), (("--runner=PortableRunner", "--job_endpoint=localhost:1"), 2)],
)
def test_a_run_has_lanes_for_its_workers_and_its_input(
    args: tuple[str, ...], lanes: int, tmp_path: Path
) -> None:
    path = tmp_path / "a.faa"
    path.write_bytes(b">a\nMKT\n;" + bytes(2 * BYTES_PER_LANE).replace(b"\0", b"x"))
    options = ["--input", str(path), "--output", str(tmp_path / "out"), "--model=demo", *args]
    with ExitStack() as held:
        assert prepare(parse_options(options), held).embed.lanes == lanes


@pytest.mark.parametrize(
    ("args", "heard"),
    [
        ([], True),
        (["--runner=PrismRunner"], True),
        (["--direct_running_mode=multi_processing"], False),
        (["--runner=PortableRunner"], False),
        (["--runner=PortableRunner", "--environment_type=LOOPBACK"], True),
    ],
)
def test_what_happens_is_heard_where_threads_are_the_workers(args: list[str], heard: bool) -> None:
    assert is_heard(args) == heard


def test_a_worker_that_has_ended_is_answered_for() -> None:
    """What it was asked before is failed, and what it is asked afterwards."""
    connection = ControlConnection()
    end = answer_for_the_dead(connection)
    before = connection.push(beam_fn_api_pb2.InstructionRequest(instruction_id="before"))
    assert not before.is_done()
    end()
    assert before.get(timeout=10).error == ENDED
    after = connection.push(beam_fn_api_pb2.InstructionRequest(instruction_id="after"))
    assert after.get(timeout=10).error == ENDED
    assert root_cause(f"RuntimeError: {ENDED}.").startswith("A worker process ended")


class Fail(beam.DoFn):
    def process(self, element: int) -> None:
        raise OSError(28, "No space left on device")


class Count(beam.DoFn):
    def process(self, element: int) -> None:
        Metrics.counter("n", "seen").inc()
        Metrics.distribution("n", "size").update(element)


def test_what_a_step_raises_comes_out_in_one_line() -> None:
    with pytest.raises(GraphError) as caught:
        run_graph(lambda p: p | beam.Create([1]) | beam.ParDo(Fail()), [])
    assert str(caught.value) == "OSError: [Errno 28] No space left on device"


def test_an_engine_that_does_not_answer_is_told() -> None:
    endpoint = ["--job_endpoint=localhost:1", "--job_server_timeout=1", "--streaming"]
    with pytest.raises(GraphError, match="No engine answers"):
        run_graph(lambda p: p | beam.Create([1]), ["--runner=PrismRunner", *endpoint])


def test_the_job_server_of_flink_is_started_and_a_job_runs_on_it(tmp_path: Path) -> None:
    """As in a watch, not in the main thread. There is no jar here: Beam's own service stands in."""
    java, jar = tmp_path / "java", tmp_path / "job-server.jar"
    service = "apache_beam.runners.portability.local_job_service_main"
    java.write_text(
        f'#!/bin/sh\necho "$@" >{tmp_path}/asked\nwhile [ "$1" != --job-port ]; do shift; done\n'
        f'exec "{sys.executable}" -m {service} --port "$2"\n'
    )
    java.chmod(0o755)
    jar.touch()
    args = [
        "--runner=FlinkRunner", "--flink_master=localhost:8081", f"--flink_job_server_jar={jar}",
        f"--job_server_java_launcher={java}", "--environment_type=LOOPBACK",
    ]  # fmt: skip
    handler = signal.getsignal(signal.SIGINT)
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(
            run_graph, lambda p: p | beam.Create([1, 2]) | beam.ParDo(Count()), args
        )
        assert found.result()["seen"] == 2
    assert signal.getsignal(signal.SIGINT) is handler
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith(f"-jar {jar} --flink-master http://localhost:8081")


def test_an_engine_that_ends_is_told() -> None:
    def build(pipeline: beam.Pipeline) -> None:
        raise grpc.RpcError("Socket closed")

    with pytest.raises(GraphError, match="The engine is gone: Socket closed"):
        run_graph(build, [])


def test_engines_that_cannot_be_used_are_refused() -> None:
    check_runner(["--runner=PrismRunner", "--environment_type=LOOPBACK"])
    with pytest.raises(ConfigurationError, match="needs the --job_endpoint"):
        check_runner(["--runner=PortableRunner"])
    with pytest.raises(ConfigurationError, match="loses data"):
        check_runner(["--runner=PrismRunner", "--environment_type=EXTERNAL"])


class CountAndPass(Count):
    def process(self, element: int) -> list[int]:
        super().process(element)
        Metrics.string_set("n", "kinds").add(f"kind {element % 2}")
        return [element]


def test_counters_and_sums_come_back_by_name_over_all_steps() -> None:
    metrics = run_graph(
        lambda p: (
            p
            | beam.Create([1, 2, 3])
            | "First" >> beam.ParDo(CountAndPass())
            | "Second" >> beam.ParDo(Count())
        ),
        [],
    )
    assert metrics == {"seen": 6, "size": 12, "size_count": 6, "kinds": "kind 0, kind 1"}


class CountSlowly(beam.DoFn):
    SEEN = ReadModifyWriteStateSpec("seen", beam.coders.VarIntCoder())

    def process(self, element: tuple[int, int], seen: Any = beam.DoFn.StateParam(SEEN)) -> None:
        count = (seen.read() or 0) + 1
        time.sleep(0.35)  # Prism divides a bundle that stands still for so long
        seen.write(count)
        Metrics.distribution("n", "counts").update(count)


@pytest.mark.slow
@needs_prism
def test_on_prism_a_slow_keyed_step_keeps_its_state() -> None:
    def build(pipeline: beam.Pipeline) -> None:
        _ = (
            pipeline
            | beam.Create([(0, n) for n in range(8)], reshuffle=False)
            | beam.ParDo(CountSlowly())
        )

    metrics = run_graph(build, ON_PRISM)
    assert metrics["counts"] == sum(range(1, 9))


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (
            "Traceback (most recent call last):\n  File x\n"
            "transforms.errors.AccountingError: a.faa "
            "[while running 'Write ESM pt/ParDo(_D)']\n",
            "AccountingError: a.faa",
        ),
        ("ValueError: plain", "ValueError: plain"),
        (
            "  File x\nKeyError: 'beam:env:process:v1'\n",
            "The engine has no workers of the kind "
            "beam:env:process:v1: give another --environment_type.",
        ),
        ("Pipeline failed for a reason", "Pipeline failed for a reason"),
    ],
)
def test_the_root_cause_is_the_last_exception_named(text: str, cause: str) -> None:
    assert root_cause(text) == cause
