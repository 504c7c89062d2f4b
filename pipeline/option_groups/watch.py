"""The options of ``--watch``."""

from __future__ import annotations

import argparse

from pipeline.option_groups.values import seconds

POLL_SECONDS = 5.0
"""Time between two looks for new files, unless another is asked for."""


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
