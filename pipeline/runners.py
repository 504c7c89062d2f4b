"""The one place that knows Beam's engines."""

from __future__ import annotations

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import (
    DirectOptions,
    PipelineOptions,
    StandardOptions,
)
from apache_beam.runners.runner import create_runner

from transforms.errors import ConfigurationError

LOCAL_RUNNER = "FnApiRunner"
"""What ``DirectRunner`` means here, whatever Beam would choose on this machine: it alone streams
the whole line in flat memory. Prism, Beam's own first choice, holds whole stages."""

logger = logging.getLogger(__name__)


class GraphError(Exception):
    """The graph failed; the message is the root cause in one line."""


def make_options(beam_args: Sequence[str]) -> PipelineOptions:
    """Returns Beam's options with the engine pinned."""
    options = PipelineOptions(list(beam_args))
    standard = options.view_as(StandardOptions)
    if standard.runner in (None, "DirectRunner"):
        standard.runner = LOCAL_RUNNER
    return options


def check_runner(beam_args: Sequence[str]) -> None:
    """Makes sure that there is an engine of the name that was given.

    Raises:
        ConfigurationError: There is none.
    """
    runner = make_options(beam_args).view_as(StandardOptions).runner
    try:
        create_runner(runner)
    except (ValueError, ImportError, AttributeError) as error:
        raise ConfigurationError(f"--runner {runner} cannot be had: {error}") from error


def is_in_this_process(beam_args: Sequence[str]) -> bool:
    """Tells whether the steps will run in this very process."""
    options = make_options(beam_args)
    runner: str = options.view_as(StandardOptions).runner
    mode: str = options.view_as(DirectOptions).direct_running_mode
    return runner == LOCAL_RUNNER and mode == "in_memory"


def run_graph(
    build: Callable[[beam.Pipeline], object], beam_args: Sequence[str]
) -> Mapping[str, int | str]:
    """Builds a graph, runs it to its end and returns its counters, sums and words by name.

    Raises:
        GraphError: It failed. What was committed stays.
    """
    try:
        pipeline = beam.Pipeline(options=make_options(beam_args))
        build(pipeline)
        result = pipeline.run()
        result.wait_until_finish()
    except Exception as error:
        logger.debug("The graph failed.", exc_info=True)
        raise GraphError(root_cause(str(error) or repr(error))) from error
    return _flatten(result.metrics().query(MetricsFilter()))


def _flatten(found: Mapping[str, Sequence[Any]]) -> dict[str, int | str]:
    """Returns metrics by name, each over all steps; of a distribution its sum and its count."""
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


def root_cause(text: str) -> str:
    """Returns the exception that a runner's text ends in, without module and step.

    Runners hand on what a worker raised as text, traceback and all.
    """
    if "Channel closed prematurely" in text:
        return "A worker process ended before its work did: killed, or out of memory."
    lines = [line for line in text.splitlines() if re.match(r"[A-Za-z_][\w.]*(:|$)", line)]
    line = lines[-1] if lines else text.strip().splitlines()[-1]
    line = re.sub(r" \[while running '.*$", "", line)
    return re.sub(r"^(?:\w+\.)+(?=\w)", "", line)
