"""The options that are for engines with workers elsewhere."""

from __future__ import annotations

import argparse
from typing import NamedTuple


class Hint(NamedTuple):
    """One of Beam's resource hints."""

    name: str
    value: str

    def __str__(self) -> str:
        return f"{self.name}={self.value}"


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Adds them to a parser."""
    parser.add_argument(
        "--inference_hint",
        type=parse_hint,
        action="append",
        metavar="NAME=VALUE",
        # A resource hint of the inference step alone, for engines that heed it, e.g.
        # accelerator=type:nvidia-l4;count:1;install-nvidia-driver: pipeline.launch gives it.
        help=argparse.SUPPRESS,
    )


def parse_hint(text: str) -> Hint:
    """Returns the resource hint that ``NAME=VALUE`` stands for.

    Values stay text: Beam parses each by itself, and takes no ``int`` for some of them.

    Raises:
        argparse.ArgumentTypeError: Beam knows no such hint, or not with that value.
    """
    from apache_beam.transforms.resources import parse_resource_hints  # late: help needs no Beam

    name, _, value = text.partition("=")
    try:
        parse_resource_hints({name: value})
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not value:
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE, not {text!r}")
    return Hint(name, value)
