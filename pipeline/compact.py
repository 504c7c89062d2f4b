"""``python -m pipeline.compact OUT``: merges the small parts of an output."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from pipeline.option_groups.values import not_less_than
from pipeline.terminal import EXIT_OK, say_all
from pipeline.verbs import run_verb, verb_parser

ROWS = 32768
"""Records of a part that is large enough: 150 MiB at 1280 dimensions."""

DESCRIPTION = """\
Merges the small parts of an output, so that those who read it open fewer files. No row and no dead
letter changes, nothing is lost if it is killed, and a run may be at work meanwhile; of that the
parts of files that are not finished, and those that it has just written, are left alone.
"""

EPILOG = """\
Exit codes: 0 merged, or there was nothing to merge; 1 it had to stop on the way, what was merged
stays; 2 it cannot begin (the message says why).
"""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Merges the small parts of an output and exits with the code that tells."""
    stays = "What was merged stays."
    run_verb(make_parser(), run, argv, stopped=f"Stopped. {stays}", tells=True, then=stays)


def run(options: argparse.Namespace) -> int:
    """Merges parts, tells a person about it, and returns the exit code."""
    from pipeline.compaction import compact_output

    say_all(compact_output(options.output, options.rows).in_words())
    return EXIT_OK


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = verb_parser("compact", DESCRIPTION, EPILOG)
    parser.add_argument("output", metavar="OUT", help="the --output of a run")
    parser.add_argument(
        "--rows",
        type=not_less_than(2),
        default=ROWS,
        metavar="N",
        help="merge parts of fewer records into parts of up to so many; a merge takes the memory "
        "of four times as many vectors (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    main()
