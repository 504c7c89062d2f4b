"""The options that say which files are read, and which are written."""

from __future__ import annotations

import argparse

from transforms.errors import ConfigurationError


def add_input_options(group: argparse._ArgumentGroup) -> None:
    """Adds those of the files that are read."""
    group.add_argument(
        "--input",
        action="append",
        metavar="PATTERN",
        help="FASTA file, glob or folder (recursive); may be given several times",
    )
    group.add_argument(
        "--input_root",
        metavar="DIR",
        help="folder below which files are named in the output "
        "(default: the folder that all patterns have in common)",
    )


def add_sinks_option(group: argparse._ArgumentGroup) -> None:
    """Adds that of the kinds of file that are written."""
    group.add_argument(
        "--sinks",
        default="parquet,pt",
        metavar="LIST",
        help="parquet,pt, or parquet alone (default: %(default)s)",
    )


def parse_sinks(text: str) -> bool:
    """Returns whether ``.pt`` files are written.

    Raises:
        ConfigurationError: The list makes no sense.
    """
    sinks = {sink.strip() for sink in text.split(",")}
    if sinks not in ({"parquet", "pt"}, {"parquet"}):
        raise ConfigurationError(f"--sinks is parquet,pt or parquet, not {text!r}.")
    return "pt" in sinks
