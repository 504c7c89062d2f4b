"""The job of a launch, built and not sent: which step asks for what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import partial

from apache_beam.portability.api import beam_runner_api_pb2

from pipeline.graph import build
from pipeline.options import RunConfig
from pipeline.runners import build_job
from transforms.embed import EmbedConfig
from transforms.inputs.finding import FindFasta
from transforms.inputs.watching import Watched, WatchFasta
from transforms.output.commits import Output

_LANES = 2  # more than one, as wherever workers share the work; how many changes no step

Hints = tuple[tuple[str, str], ...]


def hints_by_step(config: RunConfig) -> dict[Hints, list[str]]:
    """Returns the steps of a Dataflow job by the resource hints that they carry.

    It is built as a run builds it, but over no files: to list them one would have to ask for them.

    Args:
        config: What is to be run, with Beam's options for Dataflow.

    Raises:
        ConfigurationError: Beam's part for Google Cloud is not installed.
        GraphError: Beam cannot build the job.
    """
    output = Output(
        root=config.output, run="dry-run", model=config.model.model, revision="", pt=config.pt
    )
    watched = Watched(config.inputs, config.output, output, config.poll_seconds, config.stop_after)
    job = build_job(
        partial(
            build,
            source=WatchFasta(watched) if config.watch else FindFasta(()),
            config=EmbedConfig(
                config.residues,
                config.model,
                lanes=_LANES,
                hints=config.hints,
                max_batch_wait=config.batch_wait if config.watch else 0.0,
            ),
            output=output,
            checkpoint_seconds=config.checkpoint_seconds,
        ),
        config.beam_args,
    )
    environments = job.components.environments
    steps: defaultdict[Hints, dict[str, None]] = defaultdict(dict)
    for root in job.root_transform_ids:
        for leaf in _leaves(job.components.transforms, root):
            if leaf.environment_id:  # else the engine does it itself
                hints = environments[leaf.environment_id].resource_hints
                named = sorted((urn.split(":")[2], value.decode()) for urn, value in hints.items())
                steps[tuple(named)][leaf.unique_name.partition("/")[0]] = None
    return {hints: list(names) for hints, names in steps.items()}


def _leaves(
    transforms: Mapping[str, beam_runner_api_pb2.PTransform], name: str
) -> Iterator[beam_runner_api_pb2.PTransform]:
    """Yields the steps that have no others in them, in the order of the graph."""
    transform = transforms[name]
    if not transform.subtransforms:
        yield transform
    for inner in transform.subtransforms:
        yield from _leaves(transforms, inner)
