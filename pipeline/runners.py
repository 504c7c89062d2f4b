"""The one place that knows Beam's engines."""

from __future__ import annotations

import logging
import subprocess
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import apache_beam as beam
import grpc
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import (
    DirectOptions,
    FlinkRunnerOptions,
    PipelineOptions,
    PortableOptions,
    StandardOptions,
    WorkerOptions,
)
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.flink_runner import FlinkJarJobServer, FlinkRunner
from apache_beam.runners.portability.job_server import SubprocessJobServer
from apache_beam.runners.portability.prism_runner import PrismJobServer
from apache_beam.runners.runner import PipelineResult, create_runner

from pipeline.beam_workarounds import minding_workers, quiet_end, whole_bundles
from pipeline.engine_errors import find_cause
from transforms.errors import ConfigurationError

LOCAL_RUNNER = "FnApiRunner"
"""What ``DirectRunner`` means here, whatever Beam would choose on this machine: it alone streams
the whole line in flat memory. Prism, Beam's own first choice, holds whole stages."""

_BEAMS_CHOICE = ("DirectRunner", "SwitchingDirectRunner")

LOCAL_RUNNERS = (LOCAL_RUNNER, "BundleBasedDirectRunner", "PrismRunner")

STREAMING_RUNNERS = ("PrismRunner", "FlinkRunner", "DataflowRunner", "PortableRunner")
"""Those that have processing time, and a source without an end."""

_USUAL_WORKERS = 16  # where the engine decides how many there are
_FOR_EVER = 10**9  # seconds

# Its standard input is a pipe from this process: when that closes, for whatever reason, it ends.
_UNTIL_WE_END = '"$@" & read -r _; kill $!'

logger = logging.getLogger(__name__)


class GraphError(Exception):
    """The graph failed; the message is the root cause in one line."""


def make_options(beam_args: Sequence[str]) -> PipelineOptions:
    """Returns Beam's options with the engine pinned."""
    options = PipelineOptions(list(beam_args))
    standard = options.view_as(StandardOptions)
    standard.runner = _known_name(standard.runner)
    return options


def _known_name(runner: str | None) -> str:
    """Returns the name of a runner, which Beam takes in any case, and without ``Runner`` too."""
    wanted = (runner or LOCAL_RUNNER).lower()
    for known in StandardOptions.ALL_KNOWN_RUNNERS:
        name: str = known.rpartition(".")[2]
        if wanted in (known.lower(), name.lower(), name.lower().removesuffix("runner")):
            return LOCAL_RUNNER if name in _BEAMS_CHOICE else name
    return runner or LOCAL_RUNNER


def check_runner(beam_args: Sequence[str]) -> None:
    """Makes sure that there is an engine of the name that was given, and that it can be used.

    Raises:
        ConfigurationError: There is none, or it cannot.
    """
    options = make_options(beam_args)
    runner = options.view_as(StandardOptions).runner
    workers = options.view_as(PortableOptions).environment_type
    if _name(options) == "PortableRunner" and not options.view_as(PortableOptions).job_endpoint:
        raise ConfigurationError(
            "--runner PortableRunner needs the --job_endpoint of an engine, e.g. localhost:8099. "
            "Or name the engine itself, e.g. --runner FlinkRunner."
        )
    if _is_prism(options) and workers not in (None, "LOOPBACK"):
        raise ConfigurationError(
            f"Prism loses data with workers elsewhere (--environment_type {workers}): it divides "
            "bundles of keyed steps, which only those of this process refuse. Leave it out."
        )
    direct = options.view_as(DirectOptions)
    if direct.direct_running_mode != "in_memory" and direct.direct_num_workers != 1:
        logger.warning(
            "Beam's local runner gives keyed steps, which hold this line together, to one worker "
            "at a time: more than one of them load the model once more each, and do little."
        )
    try:
        create_runner(runner)
    except (ValueError, ImportError, AttributeError) as error:
        raise ConfigurationError(f"--runner {runner} cannot be had: {error}") from error
    if _name(options) == "DataflowRunner":
        try:
            # Beam itself finds out after the output was locked.
            from apache_beam.runners.dataflow.internal import apiclient  # noqa: F401
        except ImportError as error:
            raise ConfigurationError(
                f"--runner {runner} needs Beam's part for Google Cloud ({error}). Install it: "
                "pip install 'fastesm-beam[gcp]'."
            ) from error


def is_in_this_process(beam_args: Sequence[str]) -> bool:
    """Tells whether the steps will run in this very process."""
    options = make_options(beam_args)
    mode: str = options.view_as(DirectOptions).direct_running_mode
    return _name(options) == LOCAL_RUNNER and mode == "in_memory"


def had_one_worker(options: Mapping[str, Any]) -> bool:
    """Tells whether a run had one worker, by the options that its report holds."""
    is_local = _known_name(options.get("runner")) == LOCAL_RUNNER
    return is_local and options.get("direct_num_workers") in (None, 1)


def are_workers_elsewhere(beam_args: Sequence[str]) -> bool:
    """Tells whether the steps may run on other machines, with other devices than this one."""
    options = make_options(beam_args)
    workers = options.view_as(PortableOptions).environment_type
    if _name(options) == "FlinkRunner" and not workers:  # of its own it has them here, with itself
        return options.view_as(FlinkRunnerOptions).flink_master not in ("[local]", "[auto]")
    return _name(options) not in LOCAL_RUNNERS and workers != "LOOPBACK"


def count_workers(beam_args: Sequence[str]) -> int:
    """Returns on how many machines the steps may run, as far as the options tell."""
    options = make_options(beam_args)
    if _name(options) in LOCAL_RUNNERS:
        return 1
    asked = options.view_as(WorkerOptions)
    parallelism: int = options.view_as(FlinkRunnerOptions).parallelism  # -1 where it is not given
    most: int = max(asked.max_num_workers or 0, asked.num_workers or 0, parallelism)
    return most if most > 0 else _USUAL_WORKERS


def is_heard(beam_args: Sequence[str]) -> bool:
    """Tells whether events of the steps reach this process: its threads are the workers."""
    options = make_options(beam_args)
    if options.view_as(PortableOptions).environment_type == "LOOPBACK":
        return True
    mode: str = options.view_as(DirectOptions).direct_running_mode
    return _name(options) in LOCAL_RUNNERS and mode != "multi_processing"


def _is_prism(options: PipelineOptions) -> bool:
    return _name(options) == "PrismRunner"


def _name(options: PipelineOptions) -> str:
    """Returns the name of the runner without its module."""
    runner: str = options.view_as(StandardOptions).runner
    return runner.rpartition(".")[2]


def can_stream(beam_args: Sequence[str]) -> bool:
    """Tells whether there are real-time timers where the steps will run, and unbounded sources."""
    return _name(make_options(beam_args)) in STREAMING_RUNNERS


@contextmanager
def _engine(options: PipelineOptions) -> Iterator[None]:
    """Makes the engine ready, and runs Prism or Flink's job server until the ``with`` block ends.

    Beam would start them in the terminal's process group, where a Ctrl-C that is to drain the run
    ends them, and would leave them behind when this process is killed; and it can start them in
    the main thread alone.
    """
    portable = options.view_as(PortableOptions)
    with ExitStack() as stack:
        if _is_prism(options):
            stack.enter_context(whole_bundles())
        stack.enter_context(minding_workers())
        stack.enter_context(quiet_end())
        if server := None if portable.job_endpoint else _own_server(options):
            command, portable.job_endpoint = server.subprocess_cmd_and_endpoint()
            stack.enter_context(
                subprocess.Popen(
                    ["sh", "-c", _UNTIL_WE_END, "sh", *map(str, command)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            )
        if portable.job_endpoint and portable.job_endpoint != "embed":
            channel = stack.enter_context(grpc.insecure_channel(portable.job_endpoint))
            grpc.channel_ready_future(channel).result(portable.job_server_timeout)
            # Beam takes the time that a job server has to answer for that of the whole job, too.
            portable.job_server_timeout = _FOR_EVER
        yield


def _own_server(options: PipelineOptions) -> SubprocessJobServer | None:
    """Returns the job server that a runner would start by itself; None for none."""
    if _is_prism(options):
        return PrismJobServer(options)
    flink = options.view_as(FlinkRunnerOptions)
    if _name(options) != "FlinkRunner" or flink.flink_submit_uber_jar:
        return None
    flink.flink_master = FlinkRunner.add_http_scheme(flink.flink_master)
    return FlinkJarJobServer(options)


def run_graph(
    build: Callable[[beam.Pipeline], object], beam_args: Sequence[str]
) -> Mapping[str, int | str]:
    """Builds a graph, runs it to its end and returns its counters, sums and words by name.

    Raises:
        GraphError: It failed. What was committed stays.
    """
    try:
        options = make_options(beam_args)
        with _engine(options):
            pipeline = beam.Pipeline(options=options)
            build(pipeline)
            result = pipeline.run()
            result.wait_until_finish()
            return _read_metrics(result)
    except Exception as error:
        logger.debug("The graph failed.", exc_info=True)
        raise GraphError(find_cause(error)) from error


def build_job(
    build: Callable[[beam.Pipeline], object], beam_args: Sequence[str]
) -> beam_runner_api_pb2.Pipeline:
    """Returns the graph of a Dataflow job as it would be sent, and contacts nobody.

    Raises:
        ConfigurationError: Beam's part for Google Cloud is not installed.
        GraphError: It cannot be built.
    """
    check_runner(beam_args)
    try:
        options = make_options([*beam_args, "--dry_run=True", "--no_auth"])
        pipeline = beam.Pipeline(options=options)
        build(pipeline)
        pipeline.run()
    except Exception as error:
        logger.debug("The job cannot be built.", exc_info=True)
        raise GraphError(find_cause(error)) from error
    job: beam_runner_api_pb2.Pipeline = pipeline.runner.proto_pipeline
    return job


def _read_metrics(result: PipelineResult) -> Mapping[str, int | str]:
    try:
        found = result.metrics().query(MetricsFilter())
    except Exception as error:  # some engines have none, or are asked over a network
        logger.warning("The job has ended, but the engine does not tell its metrics: %s", error)
        return {}
    return _flatten(found)


def _flatten(found: Mapping[str, Sequence[Any]]) -> dict[str, int | str]:
    """Returns metrics by name, each over all steps; of a distribution its sum and its count."""
    # Prism gives its own as well.
    found = {
        kind: [item for item in items if not item.key.metric.name.startswith("metric:")]
        for kind, items in found.items()
    }
    numbers: Counter[str] = Counter()
    for item in found["counters"]:
        numbers[item.key.metric.name] += item.result or 0  # Beam gives None for 0
    for item in found["distributions"]:
        numbers[item.key.metric.name] += item.result.sum
        numbers[f"{item.key.metric.name}_count"] += item.result.count
    words: defaultdict[str, set[str]] = defaultdict(set)
    for item in found["string_sets"]:
        words[item.key.metric.name] |= item.result
    return {**numbers, **{name: ", ".join(sorted(each)) for name, each in words.items()}}
