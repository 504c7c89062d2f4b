"""Runs the graph over what a plan has to do, and finds out what has come of it."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from functools import partial

from pipeline.checks import Plan
from pipeline.ending import report_or_fail
from pipeline.graph import build
from pipeline.listening.pace import Pace
from pipeline.run_report import Report, report_run
from pipeline.runners import GraphError, run_graph
from transforms import events
from transforms.errors import ConfigurationError, LostError
from transforms.inputs.listing import listed
from transforms.output.commits import read_commits
from transforms.output.holders import lock_name
from transforms.output.locks import check_held
from transforms.output.resuming import tidy


def execute(plan: Plan, beam_args: Sequence[str] = ()) -> Report:
    """Runs the graph over what is not finished and returns what the output then holds.

    Without anything to do no graph is run and no model loaded. A failure of the graph is part of
    the report, and so is an output that cannot be read: what was committed stays.
    """
    start = time.monotonic()
    metrics: dict[str, int | str] = {}
    failure = None
    pace = Pace()
    if plan.todo:
        try:
            with events.listening(pace):
                metrics = embed(plan, beam_args)
            tidy(plan.output.root, plan.output.run, read_commits(plan.output.root))
        except (ConfigurationError, GraphError, LostError, OSError) as error:
            failure = str(error)
    seconds = time.monotonic() - start
    return report_or_fail(partial(report_run, plan, seconds, metrics, pace), failure)


def embed(plan: Plan, beam_args: Sequence[str]) -> dict[str, int | str]:
    """Runs the graph over what is to do, once, and returns what it counted.

    Raises:
        GraphError: The graph failed; what was committed stays.
        LostError: The lock of the output is another run's by now.
        OSError: The lock file cannot be read.
    """
    with listed(plan.output.root, plan.output.run, plan.todo) as source:
        graph = partial(
            build,
            source=source,
            config=plan.embed,
            output=plan.output,
            checkpoint_seconds=plan.checkpoint_seconds,
            is_begun=plan.is_begun,
        )
        with frozen():
            metrics = dict(run_graph(graph, beam_args))
    check_held(plan.output.root, plan.output.lock, lock_name(plan.output.shard))
    return metrics


@contextmanager
def frozen() -> Iterator[None]:
    """Keeps Python from looking, again and again, for what can be freed of libraries and model."""
    if gc.get_freeze_count():  # by one around this, or by whoever calls us
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def add_metrics(total: MutableMapping[str, int | str], more: Mapping[str, int | str]) -> None:
    """Adds what a run of the graph, or a shard, has counted; of words the last ones stay."""
    for name, value in more.items():
        if isinstance(value, int) and isinstance(before := total.get(name, 0), int):
            value += before
        total[name] = value
