"""``python -m pipeline``: reads the command line, and exits with the code of what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NoReturn

from pipeline.command_line import read_command_line
from pipeline.terminal import allow_any_text, quiet_imports
from pipeline.verbs import end_verb


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and exits with its code."""
    allow_any_text()
    stopped = "Stopped. What was committed stays; the same command carries on."
    end_verb(partial(run, argv), stopped)


def run(argv: Sequence[str] | None) -> int:
    """Does what a command line asks for, tells a person about it, and returns the exit code."""
    given = read_command_line(argv)
    quiet_imports()
    # Only now, so that --help need not wait for Beam and torch.
    from pipeline.dispatch import dispatch, set_up_logging
    from pipeline.options import make_config

    config = make_config(given)
    set_up_logging(config)
    return dispatch(config)
