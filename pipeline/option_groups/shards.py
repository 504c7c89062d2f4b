"""The options of runs that divide their work among them."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping

from transforms.errors import ConfigurationError
from transforms.output.shards import Shard


def add_shard_options(parser: argparse.ArgumentParser) -> None:
    """Adds them to a parser."""
    add = parser.add_argument_group("many machines or GPUs on one output").add_argument
    add(
        "--shard",
        type=parse_shard,
        metavar="I/N",
        help="embed the records that fall to run I of N, counted from 0; slurm: by the numbers of "
        "a Slurm job array. The last of them to end completes the output",
    )
    add(
        "--gpus",
        type=parse_gpus,
        default=(),
        metavar="LIST",
        help="run one shard on each of these GPUs of this machine: all, or numbers such as 0,1,3",
    )


def parse_shard(text: str) -> Shard:
    """Parses ``I/N``, or ``slurm`` for what the variables of a Slurm job array say."""
    try:
        if text == "slurm":
            return slurm_shard(os.environ)
        if match := re.fullmatch(r"(\d+)/(\d+)", text):
            return Shard(int(match[1]), int(match[2]))
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    raise argparse.ArgumentTypeError(f"must be I/N such as 0/4, or slurm, not {text!r}")


def slurm_shard(environment: Mapping[str, str]) -> Shard:
    """Returns the shard that is a task of a Slurm job array.

    Args:
        environment: Holds ``SLURM_ARRAY_TASK_ID``, ``_COUNT``, ``_MIN``, ``_MAX`` and, for arrays
            such as ``0-30:10``, ``_STEP``.

    Raises:
        ConfigurationError: This is no task of an array, or of one with gaps.
    """
    names = ("ID", "COUNT", "MIN", "MAX")
    found = [environment.get(f"SLURM_ARRAY_TASK_{name}", "") for name in names]
    step = environment.get("SLURM_ARRAY_TASK_STEP", "1")
    if not all(text.isdecimal() for text in (*found, step)) or step == "0":
        raise ConfigurationError(
            "slurm is for a task of a Slurm job array, and SLURM_ARRAY_TASK_ID and _COUNT, _MIN "
            "and _MAX are not all set. Submit with --array, or give I/N"
        )
    task, count, first, last = map(int, found)
    if last - first != (count - 1) * int(step):
        raise ConfigurationError(
            f"slurm needs an array without gaps, and this one has {count} tasks from {first} to "
            f"{last}. Give I/N, such as --shard $SLURM_ARRAY_TASK_ID/N"
        )
    return Shard((task - first) // int(step), count)


def parse_gpus(text: str) -> tuple[str, ...]:
    """Parses ``all`` or a list of numbers."""
    names = tuple(name.strip() for name in text.split(","))
    if names == ("all",):
        return names
    if not all(name.isdecimal() for name in names):
        raise argparse.ArgumentTypeError(f"must be all, or numbers such as 0,1,3, not {text!r}")
    if len(set(map(int, names))) < len(names):
        raise argparse.ArgumentTypeError(f"names a GPU twice: {text}")
    return names
