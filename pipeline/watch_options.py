"""The options of ``--watch``."""

from __future__ import annotations

import argparse

from pipeline.values import seconds
from transforms.errors import ConfigurationError


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
        help="time between two looks for new files (default: 5)",
    )
    add(
        "--stop_after",
        type=seconds,
        metavar="S",
        help="end the watch when everything is done and nothing new has come for so long "
        "(default: never)",
    )
    add(
        "--max_batch_wait",
        type=seconds,
        metavar="S",
        help="on another runner: send on what has come so far, to the model and to the disk, "
        "after so long (default: 2)",
    )


def check_watch_options(ours: argparse.Namespace) -> None:
    """Makes sure that what was given goes together.

    Args:
        ours: What the parser made of the command line.

    Raises:
        ConfigurationError: It does not.
    """
    if not ours.watch:
        for name in ("poll_seconds", "stop_after", "max_batch_wait"):
            if getattr(ours, name) is not None:
                raise ConfigurationError(f"--{name} goes with --watch. Add it, or leave this out.")
        return
    if ours.overwrite:
        raise ConfigurationError(
            "--watch with --overwrite would delete everything again at each start. Run once with "
            "--overwrite and without --watch, or give another --output."
        )
    if ours.retry_failed:
        raise ConfigurationError(
            "--retry_failed is for a run that ends. Give it once without --watch, and then watch."
        )
    if ours.max_dead_letters:
        raise ConfigurationError(
            "--max_dead_letters counts over a run that ends, and a watch goes on. Leave it out."
        )
