"""How every verb, ``python -m pipeline.<verb>``, begins and ends."""

from __future__ import annotations

import argparse
import atexit
import gc
import logging
import signal
import sys
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import NoReturn

from pipeline.parser import Parser
from pipeline.terminal import (
    EXIT_FAILED,
    EXIT_USAGE,
    allow_any_text,
    complain,
    quiet_imports,
    refuse_python,
    say_aside,
)
from transforms.errors import AccountingError, ConfigurationError, DeviceError, LostError

VERBS = {
    "plan": "see what a run would do",
    "status": "see what an output holds, and how far a run in it is",
    "verify": "open everything in an output again and compare",
    "report": "see pictures of an output, on one page",
    "search": "find the nearest proteins of an output",
    "export": "write an output in the format of another tool",
    "compact": "merge the small parts of an output",
    "finish": "complete an output that shards have made",
    "launch": "run on Dataflow, Flink and the like",
}
"""What each is for, in the words that follow "to"."""


def verb_parser(
    name: str, description: str, epilog: str, essential: Collection[str] = ()
) -> argparse.ArgumentParser:
    """Returns a parser for a verb, without options of its own yet.

    Args:
        name: Its name.
        description: What it does.
        epilog: What else there is to know.
        essential: Options to which ``--help`` keeps; empty for all of them.
    """
    return Parser(
        essential, prog=f"python -m pipeline.{name}", description=description, epilog=epilog
    )


def run_verb(
    parser: argparse.ArgumentParser,
    run: Callable[[argparse.Namespace], int],
    argv: Sequence[str] | None = None,
    stopped: str = "",
    tells: bool = False,
    then: str = "",
    failed: int = EXIT_FAILED,
) -> NoReturn:
    """Parses a command line, runs a verb, and exits with its code, or with that of its error.

    Args:
        parser: Of the verb.
        run: Does what the options ask for and returns the exit code.
        argv: Arguments without the program's name; None for those of the process.
        stopped: What a person is told who stops it by Ctrl-C.
        tells: Whether it says on the way what it does, and not only what is wrong.
        then: What is true of the output, in a sentence, when it fails on the way.
        failed: The exit code when it fails on the way.
    """
    allow_any_text()
    try:
        options = parser.parse_args(argv)
    except ConfigurationError as error:
        complain(str(error))
        sys.exit(EXIT_USAGE)
    quiet_imports()
    if tells:
        logging.basicConfig(format="%(message)s", stream=sys.stderr, force=True)
        for name in ("pipeline", "transforms"):
            logging.getLogger(name).setLevel(logging.INFO)
    end_verb(partial(run, options), stopped, then, failed)


def end_verb(
    run: Callable[[], int], stopped: str = "", then: str = "", failed: int = EXIT_FAILED
) -> NoReturn:
    """Runs what was asked for and exits with its code; the arguments are those of run_verb."""
    atexit.register(_leave_memory)
    try:
        sys.exit(run())
    except KeyboardInterrupt as error:
        if told := str(error) or stopped:
            say_aside(told)
        sys.exit(128 + signal.SIGINT)
    except ConfigurationError as error:
        complain(str(error))
        sys.exit(EXIT_USAGE)
    except ModuleNotFoundError as error:
        refuse_python(error)
    except (AccountingError, DeviceError, LostError, OSError) as error:
        complain(str(error), then)
        sys.exit(failed)


def _leave_memory() -> None:
    """Spares Python a search for what can be freed: a second for nothing, with Beam and torch."""
    if "triton" not in sys.modules:  # it complains, by nanobind, of all that was not freed
        gc.freeze()
