"""From a command line of ``python -m pipeline.launch`` to one of ``python -m pipeline``."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.command_line import make_parser
from pipeline.launching.clusters import FLINK, POOLS, PORTABLE
from pipeline.launching.dataflow import DATAFLOW
from pipeline.launching.dry_run import hints_by_step
from pipeline.launching.engines import (
    ENGINES,
    Dataflow,
    Flink,
    Launch,
    Portable,
    make_launch,
    make_launch_parser,
)
from pipeline.launching.mistakes import Asked, Table
from pipeline.launching.profiles import profile
from pipeline.launching.refusals import COMMON, IMAGES
from pipeline.option_groups.beam import find_option
from pipeline.option_groups.config_file import with_file
from pipeline.option_groups.where import check_where
from pipeline.options import RunConfig, parse_options
from pipeline.runners import GraphError
from transforms.errors import ConfigurationError
from transforms.text import nearest

REFUSALS: Mapping[type[Launch], tuple[Table, ...]] = {
    Dataflow: (COMMON, IMAGES, DATAFLOW),
    Flink: (COMMON, POOLS, FLINK),
    Portable: (COMMON, IMAGES, POOLS, PORTABLE),
}
"""What each engine refuses, in the order in which it is looked for."""


@dataclass(frozen=True)
class Ready:
    """A launch that nothing is known against.

    Attributes:
        argv: The command line of the run.
        config: What that asks for.
        is_dry: Whether only to tell of it.
    """

    argv: Sequence[str]
    config: RunConfig
    is_dry: bool


def prepare(engine: str, argv: Sequence[str]) -> Ready:
    """Turns a command line into that of a run.

    Args:
        engine: One of ``ENGINES``.
        argv: What stands after it.

    Raises:
        ConfigurationError: An option is missing, unknown or makes no sense, or is refused.
    """
    if engine not in ENGINES:
        meant = nearest(engine, ENGINES)
        raise ConfigurationError(
            f"The engine is {', '.join(ENGINES)}, and stands first, not {engine!r}."
            f"{f' Did you mean {meant}?' if meant else ''} See --help."
        )
    parser = make_launch_parser(engine)
    ours = make_parser()

    def find(option: str) -> Any:
        return parser._option_string_actions.get(option) or find_option(ours, option)

    found, rest = parser.parse_known_args(with_file(argv, find))
    launch = make_launch(engine, found)
    config = parse_options(rest)
    for _, sentence in find_mistakes(launch, config):
        raise ConfigurationError(sentence)
    argv = [*profile(launch, config), *rest]
    config = parse_options(argv)
    check_where(config)
    return Ready(argv, config, found.dry_run)


def find_mistakes(launch: Launch, config: RunConfig) -> Iterator[tuple[str, str]]:
    """Yields each mistake and the sentence that refuses it, the most basic first.

    Args:
        launch: What is asked of the engine.
        config: What is to be run, with the user's options alone: not those of the profile.
    """
    asked = Asked(launch, config)
    for table in REFUSALS[type(launch)]:
        for mistake, check in table.items():
            if sentence := check(asked):
                yield mistake, sentence


def describe(ready: Ready) -> Iterator[str]:
    """Yields the lines that tell what would be run.

    Raises:
        ConfigurationError: The job cannot be built.
    """
    command = "python -m pipeline"
    for token in ready.argv:
        command += " \\\n  " if token.startswith("--") else " "
        command += shlex.quote(token)
    yield command
    if "--runner=DataflowRunner" not in ready.argv:
        return
    try:
        steps = hints_by_step(ready.config)
    except GraphError as error:
        raise ConfigurationError(
            f"Beam cannot build the job: {error}. Mend the options."
        ) from error
    yield "\nThe job was built, and nobody contacted. What its steps ask for, beyond the above:"
    for hints, names in steps.items():
        asked = ", ".join(f"{name} {value}" for name, value in hints) or "nothing"
        yield f"  {', '.join(names)}: {asked}"
