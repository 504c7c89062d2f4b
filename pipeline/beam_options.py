"""Beam's own options, which are given beside ours."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from transforms import storage
from transforms.errors import ConfigurationError


class Parser(argparse.ArgumentParser):
    """A parser that raises what it refuses."""

    def error(self, message: str) -> NoReturn:
        """Raises the message as a ConfigurationError."""
        raise ConfigurationError(f"{message[:1].upper()}{message[1:]}. See --help.")


class BeamHelp(argparse.Action):
    """Lists the options and exits."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        """Prints the help of Beam's parser."""
        _beam_parser().print_help()
        parser.exit()


def _beam_parser() -> argparse.ArgumentParser:
    from apache_beam.options.pipeline_options import PipelineOptions, _BeamArgumentParser

    class _BeamParser(Parser, _BeamArgumentParser):  # type: ignore[misc]
        """Beam's parser with our way of refusing."""

    parser = _BeamParser(prog="", usage="", add_help=False, allow_abbrev=False)
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(parser)
    return parser


def check_beam_args(beam_args: Sequence[str]) -> None:
    """Refuses what Beam would pass over with a log line: a misspelt option of ours, most often.

    Raises:
        ConfigurationError: Beam does not know an option.
    """
    _, unknown = _beam_parser().parse_known_args(list(beam_args))
    if not unknown:
        return
    if storage.exists(unknown[0]):
        raise ConfigurationError(
            f"{unknown[0]} follows no option. To give several files, quote the pattern "
            "(--input 'folder/*.faa') or repeat --input."
        )
    raise ConfigurationError(f"Unknown option {unknown[0]}. See --help and --help_beam.")
