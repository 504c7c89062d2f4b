"""``python -m pipeline.report OUT``: pictures of an output, on a page that needs no network."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from pipeline.option_groups.values import positive
from pipeline.terminal import EXIT_OK, say
from pipeline.verbs import run_verb, verb_parser

DESCRIPTION = """\
Looks at all that an output holds and writes a page of pictures, one HTML file that opens in any
browser without a network, and the pictures as PNG beside it: a map of the embeddings, sequence
lengths, vector norms, dimensions, neighbours, speed, batches, and what failed. Only reads the
output, in little memory; a run may be at work.
"""

EPILOG = """\
Exit codes: 0 written; 1 it failed on the way; 2 it cannot be done as asked, the message says what
to change. docs/reporting.md says what each picture shows.
"""

MAP_ROWS = 5_000


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Writes the report of an output and exits with the code that tells."""
    run_verb(make_parser(), run, argv, stopped="Stopped.")


def run(options: argparse.Namespace) -> int:
    """Writes the report of an output, tells a person where, and returns the exit code."""
    from pipeline.reporting.findings import ReportConfig
    from pipeline.reporting.reporting import write_report
    from transforms.errors import ConfigurationError

    if options.label_column and not options.labels:
        raise ConfigurationError("--label_column is one of --labels. Give that, or leave it.")
    say(write_report(ReportConfig(**vars(options))))
    return EXIT_OK


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = verb_parser("report", DESCRIPTION, EPILOG)
    add = parser.add_argument
    add("output", metavar="OUT", help="the --output of a run")
    add(
        "--out",
        metavar="PATH",
        help="the page, a name that ends in .html, or a folder for it (default: OUT_report/, "
        "beside the output)",
    )
    add(
        "--labels",
        metavar="FILE",
        help="a table with tabs, a line of names first, ids in its first column: the map is "
        "coloured by it in place of the input file",
    )
    add("--label_column", metavar="NAME", help="its column with the labels (default: the second)")
    add(
        "--map_rows",
        type=positive,
        default=MAP_ROWS,
        metavar="N",
        help="proteins that the map shows and compares, drawn at random if there are more; all "
        "else is of all of them (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    main()
