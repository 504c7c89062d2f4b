"""The command line of a run: its options, and their help, which needs neither Beam nor torch."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from pipeline.option_groups.beam import BeamHelp, find_option
from pipeline.option_groups.coming import add_subscription_options, add_watch_options
from pipeline.option_groups.config_file import add_config_option, with_file
from pipeline.option_groups.files import add_input_options, add_sinks_option
from pipeline.option_groups.model import add_model_options
from pipeline.option_groups.sequences import add_sequence_options
from pipeline.option_groups.shards import add_shard_options
from pipeline.option_groups.values import parse_address, parse_hint, parse_limit, seconds
from pipeline.parser import Parser
from pipeline.verbs import VERBS

CHECKPOINT_SECONDS = 60.0
"""Work that a crash may cost at the most, unless less or more is asked for."""

DESCRIPTION = "Embeds proteins: FASTA in, Parquet and one _ESM.pt per FASTA file out."

ESSENTIAL = (
    "input", "output", "overwrite", "retry_failed", "watch", "gpus", "model", "device",
    "truncation_seq_length", "long_sequences", "config", "quiet",
)  # fmt: skip

_VERBS = "".join(f"  python -m pipeline.{name:<8} to {does}\n" for name, does in VERBS.items())

EPILOG = f"""\
To try it without a download, with a model whose vectors mean nothing:
  python -m pipeline --input my.faa --output out --model demo

Other commands, each with a --help of its own:
{_VERBS}
Exit codes: 0 every record embedded; 3 finished, and the output holds dead letters; 2 nothing ran
(the message says what to change); 1 failed; 129/130/143 stopped by a signal. After those and 1 the
same command carries on where it stopped.
"""


@dataclass(frozen=True)
class CommandLine:
    """A command line that was read.

    Attributes:
        argv: It, with what its ``--config`` file says in place of that option.
        ours: The values of our own options.
        beam_args: What else there is, which is for Beam.
    """

    argv: tuple[str, ...]
    ours: argparse.Namespace
    beam_args: tuple[str, ...]


def read_command_line(argv: Sequence[str] | None = None) -> CommandLine:
    """Reads a command line; one that asks for help, or for versions, gets them and exits.

    Args:
        argv: Arguments without the program's name; None for those of the process.

    Raises:
        ConfigurationError: An option of ours has a value that makes no sense, or the file cannot be
            read, or holds what is no option.
    """
    parser = make_parser()
    whole = with_file(sys.argv[1:] if argv is None else argv, partial(find_option, parser))
    ours, beam_args = parser.parse_known_args(whole)
    return CommandLine(tuple(whole), ours, tuple(beam_args))


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of our own options."""
    parser = Parser(
        prog="python -m pipeline",
        description=DESCRIPTION,
        usage="python -m pipeline --input PATTERN --output OUT [options]",
        epilog=EPILOG,
        essential=ESSENTIAL,
    )
    add_config_option(parser)
    group = parser.add_argument_group("what to embed, and where to")
    add_input_options(group)
    add = group.add_argument
    add("--output", metavar="OUT", help="where the results go")
    add("--overwrite", action="store_true", help="delete what earlier runs left in OUT first")
    add(
        "--retry_failed",
        action="store_true",
        help="try again what failed in OUT (its dead letters); without --input nothing else",
    )
    add(
        "--checkpoint_seconds",
        type=seconds,
        default=CHECKPOINT_SECONDS,
        metavar="S",
        help="commit at least after so much work, which is what a crash can cost "
        "(default: %(default)g)",
    )
    add(
        "--max_dead_letters",
        type=parse_limit,
        metavar="N",
        help="stop once this run meets more dead letters, records and files, or with N%% a larger "
        "share of the records in the files opened so far (default: carry on)",
    )
    add_sinks_option(group)
    add(
        "--pt_order",
        choices=("input", "length"),
        default="input",
        help="order within a .pt: as in the FASTA, or what the model sees most of first "
        "(default: %(default)s)",
    )
    add_watch_options(parser)
    add_subscription_options(parser)
    add_shard_options(parser)
    add_model_options(parser)
    add_sequence_options(parser)
    parser.add_argument(
        "--inference_hint",
        type=parse_hint,
        action="append",
        metavar="NAME=VALUE",
        # A resource hint of the inference step alone, for engines that heed it, e.g.
        # accelerator=type:nvidia-l4;count:1;install-nvidia-driver: pipeline.launch gives it.
        help=argparse.SUPPRESS,
    )
    _add_telling_options(parser)
    return parser


def _add_telling_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("what to say").add_argument
    add("--event_log", metavar="FILE", help="append what happens, a JSON object a line")
    add(
        "--metrics_port",
        type=parse_address,
        metavar="[HOST:]PORT",
        help="let Prometheus fetch metrics there; HOST is this machine alone unless it is given, "
        "e.g. 0.0.0.0:9100; port 0 is any that is free",
    )
    add("--quiet", action="store_true", help="no progress and no summary")
    add("--verbose", action="store_true", help="log what Beam does, and show tracebacks")
    parser.add_argument(
        "--help_beam",
        action=BeamHelp,
        nargs=0,
        default=argparse.SUPPRESS,
        help="tell of Apache Beam's options, such as --runner, which may be given too, and exit",
    )
