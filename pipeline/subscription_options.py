"""The options of ``--input_subscription``."""

from __future__ import annotations

import argparse

from pipeline.subscription import check_name
from pipeline.values import seconds
from pipeline.watch_options import refuse_what_ends
from transforms.errors import ConfigurationError


def add_subscription_options(parser: argparse.ArgumentParser) -> None:
    """Adds them to a parser."""
    add = parser.add_argument_group("messages that are still to come").add_argument
    add(
        "--input_subscription",
        metavar="NAME",
        help="in place of --input: embed the messages of a Pub/Sub subscription, "
        "projects/P/subscriptions/S, until Ctrl-C or SIGTERM; each holds FASTA, or JSON with id "
        "and sequence",
    )
    add(
        "--max_batch_wait",
        type=seconds,
        metavar="S",
        help="send on what has come after so long: messages into a round, and with --watch on "
        "another runner partial batches and parts (default: 2)",
    )


def check_subscription_options(ours: argparse.Namespace) -> None:
    """Makes sure that what was given goes together.

    Args:
        ours: What the parser made of the command line.

    Raises:
        ConfigurationError: It does not.
    """
    option = "input_subscription"
    if not ours.input_subscription:
        if ours.max_batch_wait is not None and not ours.watch:
            raise ConfigurationError(
                f"--max_batch_wait goes with --watch or --{option}. Add one, or leave this out."
            )
        return
    check_name(ours.input_subscription)
    for name in ("input", "input_root", "watch"):
        if getattr(ours, name):
            raise ConfigurationError(f"--{name} is for files, --{option} for messages. Give one.")
    refuse_what_ends(option, ours)
