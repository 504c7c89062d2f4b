"""Which options go together, and which do not."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence

from transforms.errors import ConfigurationError
from transforms.esm.checkpoints import DEMO_MODEL

_GOES_ON, _DIVIDES = ("watch", "input_subscription"), ("shard", "gpus")

_NEEDED = {
    "poll_seconds": ("watch",),
    "stop_after": _GOES_ON,
    "max_batch_wait": _GOES_ON,
    "output_topic": ("input_subscription",),
    "dead_letter_topic": ("input_subscription",),
}
"""Options that mean nothing without one of some others."""

_REFUSED = {
    (("input", "input_root", "watch"), ("input_subscription",)): (
        "--{0} is for files, --{1} for messages. Give one."
    ),
    (("overwrite",), ("retry_failed",)): "--{0} leaves nothing for --{1} to try again. Give one.",
    (_GOES_ON, ("overwrite",)): (
        "--{0} with --{1} would delete everything again at each start. Run once with --{1} and "
        "without --{0}, or give another --output."
    ),
    (_GOES_ON, ("retry_failed",)): (
        "--{1} is for a run that ends. Give it once without --{0}, and then go on."
    ),
    (_GOES_ON, ("max_dead_letters",)): (
        "--{1} counts over a run that ends, and --{0} goes on. Leave it out."
    ),
    (_DIVIDES, _GOES_ON): (
        "--{0} divides the inputs that there are, and --{1} goes on with what comes. Give several "
        "watches an --input and an --output each."
    ),
    (_DIVIDES, ("overwrite",)): (
        "--{0} with --{1} would have each shard delete what the others have embedded. Give another "
        "--output, or delete this one first."
    ),
    (_DIVIDES, ("retry_failed",)): (
        "--{1} takes dead letters out of the whole output, which --{0} must not. Give it without "
        "--{0} once all shards have ended."
    ),
    (("gpus",), ("metrics_port",)): (
        "--{0} starts several processes, and they cannot share a --{1}. Start each with --shard "
        "and a port of its own."
    ),
}
"""None of the first goes with any of the second, and why."""


def check_together(ours: argparse.Namespace) -> None:
    """Makes sure that what was given goes together.

    Args:
        ours: What the parser made of the command line.

    Raises:
        ConfigurationError: It does not.
    """
    given = {name for name, value in vars(ours).items() if value not in (None, False, ())}
    for name, others in _NEEDED.items():
        if name in given and given.isdisjoint(others):
            which = "one" if others[1:] else "it"
            raise ConfigurationError(
                f"--{name} goes with --{' or --'.join(others)}. Add {which}, or leave this out."
            )
    for (first, second), sentence in _REFUSED.items():
        if (one := _first(first, given)) and (other := _first(second, given)):
            raise ConfigurationError(sentence.format(one, other))
    if ours.gpus and ours.device not in ("auto", "cuda", "cpu"):
        raise ConfigurationError(
            f"--gpus gives each process one GPU, so --device {ours.device} makes no sense. Leave "
            "one of them out."
        )
    if ours.model == DEMO_MODEL and ours.revision:
        raise ConfigurationError(
            "--revision goes with a hub id, and --model demo is built in. Leave out --revision."
        )


def _first(names: Sequence[str], given: Collection[str]) -> str | None:
    return next((name for name in names if name in given), None)
