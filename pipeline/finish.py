"""``python -m pipeline.finish OUT``: completes what shards have made, or says which are missing."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from pipeline.terminal import say_all
from pipeline.verbs import run_verb, verb_parser

DESCRIPTION = """\
Completes an output that runs with --shard have made: .pt files, the records of files, the report.
Nothing is embedded and no input is read. The last shard to end does the same by itself.
"""

EPILOG = """\
Exit codes: 0 complete; 3 complete, and the output holds dead letters; 1 not complete: which shards
are missing is said, and what the others have finished is written; 2 it cannot begin (the message
says why).
"""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Completes an output and exits with the code that tells."""
    run_verb(make_parser(), run, argv, stopped="Stopped. The same command carries on.", tells=True)


def run(options: argparse.Namespace) -> int:
    """Completes an output, tells a person about it, and returns the exit code."""
    from pipeline.sharding.finishing import finish_output

    finished = finish_output(options.output, release=options.release)
    say_all(finished.in_words())
    return finished.code


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = verb_parser("finish", DESCRIPTION, EPILOG)
    parser.add_argument("output", metavar="OUT", help="the --output of the shards")
    parser.add_argument(
        "--release",
        action="store_true",
        help="if shards are missing, end the division as it stands, so that another number of "
        "shards, or a run without --shard, may embed what is left; none may be at work",
    )
    return parser


if __name__ == "__main__":
    main()
