"""Beam's own options, which are given beside ours."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any, NoReturn

from pipeline.parser import Parser, tell_unknown
from pipeline.verbs import VERBS
from transforms.errors import ConfigurationError
from transforms.text import nearest

SECRETS = {
    "--azure_connection_string": "AZURE_STORAGE_CONNECTION_STRING",
    "--s3_secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "--s3_session_token": "AWS_SESSION_TOKEN",
}
"""Options of Beam that are for the environment alone, and the variable that does the same."""

# Of FlinkPipelineOptions.java: the Python SDK hands them on without knowing them.
_FLINK_OPTIONS = (
    "allow_non_restored_state", "checkpoint_timeout_millis", "checkpointing_interval",
    "checkpointing_mode", "execution_retry_delay", "finish_bundle_before_checkpointing",
    "max_bundle_size", "max_bundle_time_mills", "min_pause_between_checkpoints",
    "num_concurrent_checkpoints", "number_of_execution_retries", "object_reuse",
    "retain_externalized_checkpoints_on_cancellation", "savepoint_path",
    "shutdown_sources_after_idle_ms", "state_backend", "state_backend_storage_path",
    "unaligned_checkpoint_enabled",
)  # fmt: skip


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

    parser = _BeamParser(prog="", usage="", add_help=False)
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(parser)
    group = parser.add_argument_group("Flink's, of which Beam's job server knows")
    for option in _FLINK_OPTIONS:
        group.add_argument(f"--{option}")
    return parser


def find_option(ours: argparse.ArgumentParser, option: str) -> argparse.Action | None:
    """Returns what an option such as ``--runner`` does, of ours or of Beam's; None if nothing."""
    found = ours._option_string_actions.get(option)
    return found or _beam_parser()._option_string_actions.get(option)


def check_no_secret(option: str) -> None:
    """Refuses what others could read in a list of processes, a file or a report.

    Raises:
        ValueError: The option takes a secret.
    """
    if option in SECRETS:
        raise ValueError(
            f"{option[2:]} is a secret. Put it into the environment: {SECRETS[option]}."
        )


def given_beam_options(beam_args: Sequence[str]) -> dict[str, Any]:
    """Returns the options of Beam that were given, by name.

    Args:
        beam_args: Options that Beam knows.
    """
    if not beam_args:
        return {}
    parser = _beam_parser()
    given = {token.partition("=")[0] for token in beam_args}
    values = vars(parser.parse_args(list(beam_args)))
    return {
        name[2:]: values[action.dest] if action.nargs != 0 else True
        for action in parser._actions
        for name in given.intersection(action.option_strings)
    }


def check_beam_args(beam_args: Sequence[str], ours: argparse.ArgumentParser) -> None:
    """Refuses what Beam would pass over with a log line: a misspelt option of ours, most often.

    Args:
        beam_args: What our parser has left over.
        ours: Our parser.

    Raises:
        ConfigurationError: Beam does not know an option.
    """
    for token in beam_args:
        try:
            check_no_secret(token.partition("=")[0])
        except ValueError as error:
            raise ConfigurationError(f"--{error}") from error
    beams = _beam_parser()
    _, unknown = beams.parse_known_args(list(beam_args))
    if unknown:
        raise ConfigurationError(f"{_tell(unknown[0], ours, beams)} See --help_all.")


def _tell(token: str, ours: argparse.ArgumentParser, beams: argparse.ArgumentParser) -> str:
    told = tell_unknown(token, ours, beams)
    if token.startswith("-"):
        return told
    is_there = os.path.exists(token)
    if (verb := nearest(token, VERBS)) and (token == verb or not is_there):
        return f"{token} is no option. To {VERBS[verb]}, give python -m pipeline.{verb}."
    if is_there:
        return f"{told} Of several files, quote the pattern (--input 'folder/*.faa')."
    return told
