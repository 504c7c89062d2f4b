"""The options that say what is made of a sequence."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pipeline.option_groups.values import positive

if TYPE_CHECKING:
    from transforms.residues import ResiduePolicy


def add_sequence_options(parser: argparse.ArgumentParser) -> None:
    """Adds them to a parser."""
    add = parser.add_argument_group("the sequences").add_argument
    add(
        "--residues",
        choices=("clean", "strict"),
        default="clean",
        help="clean: upper-case, drop one terminal *, map J to X, let fail what is then not "
        "an amino acid letter; strict: let fail anything that is not one as written "
        "(default: %(default)s)",
    )
    add(
        "--long_sequences",
        choices=("truncate", "reject", "window"),
        default="truncate",
        help="what is done beyond --truncation_seq_length: keep the first residues, let the "
        "record fail, or average overlapping windows (default: %(default)s)",
    )
    add(
        "--truncation_seq_length",
        type=positive,
        default=1024,
        metavar="N",
        help="residues that the model is given at the most (default: %(default)s)",
    )


def make_policy(ours: argparse.Namespace) -> ResiduePolicy:
    """Returns what they say; ``ours`` is what the parser made of the command line."""
    from transforms.residues import ResiduePolicy  # late, as it brings Beam

    return ResiduePolicy(ours.residues, ours.long_sequences, ours.truncation_seq_length)
