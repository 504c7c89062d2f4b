"""The options for what is still to come: ``--watch`` and ``--input_subscription``."""

from __future__ import annotations

import argparse

from pipeline.option_groups.values import messaging_name, seconds

POLL_SECONDS = 5.0
"""Time between two looks for new files, unless another is asked for."""

BATCH_WAIT = 2.0
"""Seconds after which what has come is sent on, unless others are asked for."""


def add_watch_options(parser: argparse.ArgumentParser) -> None:
    """Adds them to a parser."""
    add = parser.add_argument_group("files that are still to come").add_argument
    add(
        "--watch",
        action="store_true",
        help="go on with what comes to --input, until Ctrl-C or SIGTERM; a file is taken once its "
        "size and time have stayed for --poll_seconds",
    )
    add(
        "--poll_seconds",
        type=seconds,
        metavar="S",
        help=f"time between two looks for new files (default: {POLL_SECONDS:g})",
    )
    add(
        "--stop_after",
        type=seconds,
        metavar="S",
        help="end when everything is done and nothing new has come for so long (default: never)",
    )


def add_subscription_options(parser: argparse.ArgumentParser) -> None:
    """Adds them to a parser."""
    add = parser.add_argument_group("messages that are still to come").add_argument
    add(
        "--input_subscription",
        type=messaging_name("subscriptions"),
        metavar="NAME",
        help="in place of --input: embed the messages of a Pub/Sub subscription, "
        "projects/P/subscriptions/S, until Ctrl-C or SIGTERM; each holds FASTA, or JSON with id "
        "and sequence",
    )
    add(
        "--output_topic",
        type=messaging_name("topics"),
        metavar="NAME",
        help="publish the result of each message, with the vectors, to projects/P/topics/T",
    )
    add(
        "--dead_letter_topic",
        type=messaging_name("topics"),
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
