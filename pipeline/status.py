"""``python -m pipeline.status OUT``: what is committed, and whether a run is at work."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import NoReturn

from pipeline.terminal import EXIT_OK, EXIT_USAGE, say
from pipeline.verbs import run_verb, verb_parser

DESCRIPTION = "Tells what an output holds and how far the run in it is."

EPILOG = """\
Only reads: it may be asked at any time, also while a run is at work or after a crash.

Exit codes: 0 whatever the status is; 2 there is no output to tell of, or it cannot be
read (the message says why).
"""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Tells the status of an output and exits."""
    run_verb(make_parser(), run, argv, failed=EXIT_USAGE)


def run(options: argparse.Namespace) -> int:
    """Tells the status of an output and returns the exit code."""
    from pipeline import overview, telling

    seen = overview.look(options.output)
    if options.json:
        told = json.dumps(telling.as_json(seen), indent=1)
    else:
        told = "\n".join(telling.in_words(seen, all_files=options.all))
    say(told)
    return EXIT_OK


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = verb_parser("status", DESCRIPTION, EPILOG)
    add = parser.add_argument
    add("output", metavar="OUT", help="the --output of a run")
    add("--all", action="store_true", help="tell of every file, not only of some")
    add("--json", action="store_true", help="tell everything as one JSON object")
    return parser


if __name__ == "__main__":
    main()
