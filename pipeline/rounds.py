"""One pass of the graph over some files: a run is one, a watch makes many."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pipeline.checks import Plan
from pipeline.graph import build
from pipeline.runners import run_graph
from transforms.inputs.listing import listed
from transforms.output.holders import lock_name
from transforms.output.locks import check_held


def embed(plan: Plan, beam_args: Sequence[str]) -> dict[str, int | str]:
    """Runs the graph over what is to do and returns what it counted.

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
        metrics = dict(run_graph(graph, beam_args))
    check_held(plan.output.root, plan.output.lock, lock_name(plan.output.shard))
    return metrics
