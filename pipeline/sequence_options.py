"""The options that say what is made of a sequence."""

from __future__ import annotations

import argparse

from pipeline.values import positive


def add_sequence_options(parser: argparse.ArgumentParser) -> None:
    """Adds them to a parser."""
    add = parser.add_argument_group("the sequences").add_argument
    add(
        "--residues",
        choices=("clean", "strict"),
        default="clean",
        help="clean: upper-case, drop one terminal *, map J to X, dead-letter what is then not "
        "an amino acid letter; strict: dead-letter anything that is not one as written "
        "(default: %(default)s)",
    )
    add(
        "--long_sequences",
        choices=("truncate", "reject", "window"),
        default="truncate",
        help="what is done beyond --truncation_seq_length: keep the first residues, dead-letter "
        "the record, or average overlapping windows (default: %(default)s)",
    )
    add(
        "--truncation_seq_length",
        type=positive,
        default=1024,
        metavar="N",
        help="residues that the model is given at the most (default: %(default)s)",
    )
