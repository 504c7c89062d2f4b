"""``python -m pipeline.plan --input …``: what a run would do, before any model is loaded."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import NoReturn

from pipeline.option_groups.files import add_input_options, add_sinks_option, parse_sinks
from pipeline.option_groups.model import add_model_options
from pipeline.option_groups.sequences import add_sequence_options, make_policy
from pipeline.option_groups.values import more_than_zero
from pipeline.terminal import EXIT_DEAD_LETTERS, EXIT_OK, EXIT_USAGE, complain, say, say_aside
from pipeline.verbs import run_verb, verb_parser

DESCRIPTION = """\
Reads the input as a run does and tells what would come of it: records, dead letters, duplicates,
padding, room on disk, memory, time and cost. Loads no model and writes nothing.
"""

ESSENTIAL = (
    "input", "model", "device", "long_sequences", "like", "tokens_per_second",
    "price_per_gpu_hour", "json",
)  # fmt: skip

EPILOG = """\
Exit codes: 0 every record would be embedded, as far as that is known without the model; 3 records
or files would be dead-lettered; 2 nothing can be planned, or a run would not begin (the message
says what to change).
"""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Plans a run and exits with the code that tells."""
    run_verb(make_parser(), run, argv, failed=EXIT_USAGE)


def run(options: argparse.Namespace) -> int:
    """Plans a run, tells a person or a program about it, and returns the exit code."""
    from pipeline.planning import telling
    from pipeline.planning.forecast import PlanConfig, make_forecast
    from transforms.errors import ConfigurationError
    from transforms.inputs.nucleotides import find_nucleotides, tell_nucleotides
    from transforms.text import printable

    if not options.input:
        raise ConfigurationError("--input is needed: a FASTA file, a folder or a glob. See --help.")
    plan = make_forecast(
        PlanConfig(
            inputs=tuple(options.input),
            input_root=options.input_root,
            pt=parse_sinks(options.sinks),
            residues=make_policy(options),
            model=options.model,
            revision=options.revision,
            device=options.device,
            dtype=options.dtype,
            toks_per_batch=options.toks_per_batch,
            expected_dim=options.expected_dim,
            like=options.like,
            tokens_per_second=options.tokens_per_second,
            price_per_gpu_hour=options.price_per_gpu_hour,
        )
    )
    if options.json:
        say(json.dumps(telling.as_json(plan), indent=1))
    else:
        say("\n".join(telling.in_words(plan)))
    for sentence in tell_nucleotides(f.source for f in find_nucleotides(plan.listing.files)):
        say_aside(printable(sentence))
    for sentence in plan.refusals:
        complain(sentence)
    if plan.refusals:
        return EXIT_USAGE
    return EXIT_DEAD_LETTERS if plan.has_failures else EXIT_OK


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = verb_parser("plan", DESCRIPTION, EPILOG, ESSENTIAL)
    group = parser.add_argument_group("what would be embedded, and what written")
    add_input_options(group)
    add_sinks_option(group)
    add_sequence_options(parser)
    add_model_options(parser)
    group = parser.add_argument_group("how fast, and for how much")
    speed = group.add_mutually_exclusive_group()
    speed.add_argument(
        "--like", metavar="OUT", help="as fast as the last run on this output, by its report"
    )
    speed.add_argument(
        "--tokens_per_second", type=more_than_zero, metavar="N", help="of one GPU, or of the CPU"
    )
    group.add_argument(
        "--price_per_gpu_hour", type=more_than_zero, metavar="X", help="in any currency"
    )
    parser.add_argument("--json", action="store_true", help="tell everything as one JSON object")
    return parser


if __name__ == "__main__":
    main()
