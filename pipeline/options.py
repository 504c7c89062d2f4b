"""The options of a run: a command line in, one frozen configuration out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from pipeline.command_line import CHECKPOINT_SECONDS, CommandLine, make_parser, read_command_line
from pipeline.option_groups.beam import check_beam_args
from pipeline.option_groups.coming import BATCH_WAIT, POLL_SECONDS
from pipeline.option_groups.config_file import effective_options
from pipeline.option_groups.files import parse_sinks
from pipeline.option_groups.sequences import make_policy
from pipeline.option_groups.together import check_together
from pipeline.option_groups.values import Address, DeadLetterLimit
from transforms.errors import ConfigurationError
from transforms.esm.model import ModelConfig
from transforms.output.shards import Shard
from transforms.residues import ResiduePolicy


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
        shard: The share of the records that is embedded; None for all of them.
        gpus: Those that get a process each; empty for this process alone.
        beam_args: Options for Beam.
        argv: The command line, with what its ``--config`` file says in place of that option.
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
    checkpoint_seconds: float = CHECKPOINT_SECONDS
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
    shard: Shard | None = None
    gpus: tuple[str, ...] = ()
    beam_args: tuple[str, ...] = ()
    argv: tuple[str, ...] = field(default=(), compare=False)
    options: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def batch_wait(self) -> float:
        """``max_batch_wait``, or what is usual."""
        return BATCH_WAIT if self.max_batch_wait is None else self.max_batch_wait

    @property
    def goes_on(self) -> bool:
        """Whether it does not end with the files that there are."""
        return self.watch or self.input_subscription is not None


def parse_options(argv: Sequence[str] | None = None) -> RunConfig:
    """Turns a command line into what a run is to do.

    Args:
        argv: Arguments without the program's name; None for those of the process.

    Raises:
        ConfigurationError: An option is missing, unknown, or has a value that makes no sense.
    """
    return make_config(read_command_line(argv))


def make_config(given: CommandLine) -> RunConfig:
    """Turns a command line that was read into what a run is to do.

    Raises:
        ConfigurationError: An option is missing, unknown, or does not go with the others.
    """
    ours = given.ours
    if given.beam_args:
        check_beam_args(given.beam_args, make_parser())
    if not (ours.input or ours.retry_failed or ours.input_subscription):
        raise ConfigurationError("--input is needed: a FASTA file, a folder or a glob. See --help.")
    if not ours.output:
        raise ConfigurationError("--output is needed: a folder for the results. See --help.")
    has_pt = parse_sinks(ours.sinks)
    check_together(ours)
    names = {field.name for field in fields(RunConfig)} & vars(ours).keys()
    made = {
        "inputs": tuple(ours.input or ()),
        "residues": make_policy(ours),
        "model": ModelConfig(
            ours.model, ours.revision, ours.dtype, ours.device, ours.toks_per_batch
        ),
        "pt": has_pt and not ours.input_subscription,
        "poll_seconds": ours.poll_seconds or POLL_SECONDS,
        "hints": tuple(ours.inference_hint or ()),
        "beam_args": given.beam_args,
        "argv": given.argv,
        "options": effective_options(ours, given.beam_args),
    }
    return RunConfig(**{name: getattr(ours, name) for name in names} | made)
