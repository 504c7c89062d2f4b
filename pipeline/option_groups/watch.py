"""The options of ``--watch``."""

from __future__ import annotations

import argparse

from pipeline.option_groups.values import seconds
from transforms.errors import ConfigurationError

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


def check_watch_options(ours: argparse.Namespace) -> None:
    """Makes sure that what was given goes together.

    Args:
        ours: What the parser made of the command line.

    Raises:
        ConfigurationError: It does not.
    """
    if not ours.watch:
        others = ("poll_seconds", "stop_after")
        for name in others[:1] if ours.input_subscription else others:
            if getattr(ours, name) is not None:
                raise ConfigurationError(f"--{name} goes with --watch. Add it, or leave this out.")
        return
    refuse_what_ends("watch", ours)


def refuse_what_ends(option: str, ours: argparse.Namespace) -> None:
    """Makes sure that a run that goes on is not given what is for one that ends.

    Args:
        option: What makes it go on.
        ours: What the parser made of the command line.

    Raises:
        ConfigurationError: It is.
    """
    if ours.overwrite:
        raise ConfigurationError(
            f"--{option} with --overwrite would delete everything again at each start. Run once "
            f"with --overwrite and without --{option}, or give another --output."
        )
    if ours.retry_failed:
        raise ConfigurationError(
            f"--retry_failed is for a run that ends. Give it once without --{option}, and then go "
            "on."
        )
    if ours.max_dead_letters:
        raise ConfigurationError(
            f"--max_dead_letters counts over a run that ends, and --{option} goes on. Leave it out."
        )
