"""``python -m pipeline.verify OUT``: opens an output again and says whether everything agrees."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from pipeline.option_groups.values import not_less_than
from pipeline.terminal import EXIT_FAILED, EXIT_OK, EXIT_USAGE, say_all
from pipeline.verbs import run_verb, verb_parser

DESCRIPTION = """\
Opens everything in an output again: parts, commit records, .pt files, report, inputs where they
are still there, and a random sample of vectors, which are computed again. Changes nothing.
"""

EPILOG = """\
Exit codes: 0 everything agrees; 1 something does not, and is listed; 2 it cannot be verified (the
message says why).
"""

_MOST_SHOWN, _MOST_IN_JSON = 10, 1000


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Verifies an output and exits with the code that tells."""
    run_verb(make_parser(), run, argv, failed=EXIT_USAGE)


def run(options: argparse.Namespace) -> int:
    """Verifies an output, tells a person or a program about it, and returns the exit code."""
    from pipeline.verification.walk import VerifyConfig, verify_output

    most = _MOST_IN_JSON if options.json else _MOST_SHOWN
    config = VerifyConfig(
        options.output, options.sample, options.seed, options.model, options.device, most
    )
    result = verify_output(config)
    say_all([result.as_json()] if options.json else result.in_words())
    return EXIT_FAILED if result.faults.counts else EXIT_OK


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = verb_parser("verify", DESCRIPTION, EPILOG)
    add = parser.add_argument
    add("output", metavar="OUT", help="the --output of a run")
    add(
        "--sample",
        type=not_less_than(0),
        default=16,
        metavar="N",
        help="vectors that are computed again, 0 for none (default: %(default)s)",
    )
    add("--seed", type=int, metavar="N", help="draw the same sample again (default: another)")
    add("--model", metavar="NAME", help="where the model is now, if not where it was")
    add("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps")
    add("--json", action="store_true", help="print JSON")
    return parser


if __name__ == "__main__":
    main()
