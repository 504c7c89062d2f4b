"""The command line: argv in, one frozen configuration out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pipeline.listening.endpoint import Address, parse_address
from pipeline.listening.limits import DeadLetterLimit, parse_limit
from pipeline.option_groups.beam import BeamHelp, check_beam_args, find_option
from pipeline.option_groups.config_file import add_config_option, effective_options, with_file
from pipeline.option_groups.engine import add_engine_options
from pipeline.option_groups.files import add_input_options, add_sinks_option, parse_sinks
from pipeline.option_groups.model import add_model_options
from pipeline.option_groups.sequences import add_sequence_options, make_policy
from pipeline.option_groups.shards import Sharing, add_shard_options, make_sharing
from pipeline.option_groups.subscription import (
    BATCH_WAIT,
    add_subscription_options,
    check_subscription_options,
)
from pipeline.option_groups.values import seconds
from pipeline.option_groups.watch import POLL_SECONDS, add_watch_options, check_watch_options
from pipeline.parser import Parser
from pipeline.verbs import VERBS
from transforms.errors import ConfigurationError
from transforms.esm.checkpoints import DEMO_MODEL
from transforms.esm.model import ModelConfig
from transforms.residues import ResiduePolicy

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
class RunConfig:
    """What a run is to do.

    Attributes:
        inputs: Files, globs and folders.
        output: The output root.
        input_root: Folder below which sources are named; None for what the patterns share.
        residues: The residue policy.
        model: The model and how it is run.
        expected_dim: Width that the model must have; None for any.
        pt: Whether ``_ESM.pt`` files are written.
        pt_order: ``input`` or ``length``.
        overwrite: Whether to delete what earlier runs committed.
        retry_failed: Whether the dead letters of earlier runs are tried again; without inputs
            they alone are.
        checkpoint_seconds: Work that a crash may cost at the most.
        max_dead_letters: How many dead letters stop the run; None for no number.
        event_log: File that gets a line for each event; None for none.
        metrics_port: Where Prometheus may fetch metrics; None for nowhere.
        quiet: Whether to say nothing but errors.
        verbose: Whether to log what Beam does and show tracebacks.
        watch: Whether to go on with what comes, until told to stop.
        poll_seconds: Time between two looks for new files.
        stop_after: Time without anything new that ends a watch; None for no end.
        input_subscription: The subscription whose messages are embedded; None for files.
        output_topic: The topic that gets the result of each message; None for none.
        dead_letter_topic: The topic that gets the dead letters; None for none.
        max_batch_wait: Seconds after which what has come is sent on: messages into a round, in a
            stream partial batches and parts; None for what is usual.
        hints: Resource hints of the inference step, by name.
        sharing: Which share of the records is embedded, and by how many processes.
        beam_args: Options for Beam.
        options: All of this as a file for ``--config`` may hold it.
    """

    inputs: tuple[str, ...]
    output: str
    input_root: str | None = None
    residues: ResiduePolicy = ResiduePolicy()
    model: ModelConfig = ModelConfig()
    expected_dim: int | None = None
    pt: bool = True
    pt_order: str = "input"
    overwrite: bool = False
    retry_failed: bool = False
    checkpoint_seconds: float = 60.0
    max_dead_letters: DeadLetterLimit | None = None
    event_log: str | None = None
    metrics_port: Address | None = None
    quiet: bool = False
    verbose: bool = False
    watch: bool = False
    poll_seconds: float = POLL_SECONDS
    stop_after: float | None = None
    input_subscription: str | None = None
    output_topic: str | None = None
    dead_letter_topic: str | None = None
    max_batch_wait: float | None = None
    hints: tuple[tuple[str, str], ...] = ()
    sharing: Sharing = Sharing()
    beam_args: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def batch_wait(self) -> float:
        """``max_batch_wait``, or what is usual."""
        return BATCH_WAIT if self.max_batch_wait is None else self.max_batch_wait

    @property
    def goes_on(self) -> bool:
        """Whether it does not end with the files that there are."""
        return self.watch or self.input_subscription is not None


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
        default=RunConfig.checkpoint_seconds,
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
    add_engine_options(parser)
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


def command_line(
    argv: Sequence[str] | None = None, parser: argparse.ArgumentParser | None = None
) -> list[str]:
    """Returns a command line with what its ``--config`` file says in place of that option.

    Args:
        argv: Arguments without the program's name; None for those of the process.
        parser: Of our own options.

    Raises:
        ConfigurationError: The file cannot be read, or holds what is no option.
    """
    find = partial(find_option, parser or make_parser())
    return with_file(sys.argv[1:] if argv is None else argv, find)


def parse_options(argv: Sequence[str] | None = None) -> RunConfig:
    """Turns a command line into what a run is to do.

    Args:
        argv: Arguments without the program's name; None for those of the process.

    Raises:
        ConfigurationError: An option is missing, unknown, or has a value that makes no sense.
    """
    parser = make_parser()
    ours, beam_args = parser.parse_known_args(command_line(argv, parser))
    if beam_args:
        check_beam_args(beam_args, parser)
    if not (ours.input or ours.retry_failed or ours.input_subscription):
        raise ConfigurationError("--input is needed: a FASTA file, a folder or a glob. See --help.")
    if not ours.output:
        raise ConfigurationError("--output is needed: a folder for the results. See --help.")
    has_pt = parse_sinks(ours.sinks)
    if ours.retry_failed and ours.overwrite:
        raise ConfigurationError("--overwrite leaves nothing for --retry_failed to try again.")
    check_watch_options(ours)
    check_subscription_options(ours)
    if ours.model == DEMO_MODEL and ours.revision:
        raise ConfigurationError("--revision goes with a hub id, and --model demo is built in.")
    return RunConfig(
        inputs=tuple(ours.input or ()),
        output=ours.output,
        input_root=ours.input_root,
        residues=make_policy(ours),
        model=ModelConfig(ours.model, ours.revision, ours.dtype, ours.device, ours.toks_per_batch),
        expected_dim=ours.expected_dim,
        pt=has_pt and not ours.input_subscription,
        pt_order=ours.pt_order,
        overwrite=ours.overwrite,
        retry_failed=ours.retry_failed,
        checkpoint_seconds=ours.checkpoint_seconds,
        max_dead_letters=ours.max_dead_letters,
        event_log=ours.event_log,
        metrics_port=ours.metrics_port,
        quiet=ours.quiet,
        verbose=ours.verbose,
        watch=ours.watch,
        poll_seconds=ours.poll_seconds or POLL_SECONDS,
        stop_after=ours.stop_after,
        input_subscription=ours.input_subscription,
        output_topic=ours.output_topic,
        dead_letter_topic=ours.dead_letter_topic,
        max_batch_wait=ours.max_batch_wait,
        hints=tuple(ours.inference_hint or ()),
        sharing=make_sharing(ours),
        beam_args=tuple(beam_args),
        options=effective_options(ours, beam_args),
    )
