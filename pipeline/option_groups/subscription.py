"""The options of ``--input_subscription``."""

from __future__ import annotations

import argparse

from pipeline.messages.client import check_name
from pipeline.option_groups.values import seconds
from pipeline.option_groups.watch import refuse_what_ends
from transforms.errors import ConfigurationError

TOPICS = ("output_topic", "dead_letter_topic")

BATCH_WAIT = 2.0
"""Seconds after which what has come is sent on, unless others are asked for."""


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
        "--output_topic",
        metavar="NAME",
        help="publish the result of each message, with the vectors, to projects/P/topics/T",
    )
    add(
        "--dead_letter_topic",
        metavar="NAME",
        help="publish each dead letter to projects/P/topics/T too",
    )
    add(
        "--max_batch_wait",
        type=seconds,
        metavar="S",
        help="send on what has come after so long: messages into a round, and with --watch on "
        f"another runner partial batches and parts (default: {BATCH_WAIT:g})",
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
        for name in TOPICS:
            if getattr(ours, name) is not None:
                raise ConfigurationError(
                    f"--{name} goes with --{option}. Add it, or leave this out."
                )
        return
    check_name(ours.input_subscription)
    for name in TOPICS:
        if (topic := getattr(ours, name)) is not None:
            check_name(topic, name, "topics")
    for name in ("input", "input_root", "watch"):
        if getattr(ours, name):
            raise ConfigurationError(f"--{name} is for files, --{option} for messages. Give one.")
    refuse_what_ends(option, ours)
