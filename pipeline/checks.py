"""All that is checked before any reading, so that nothing runs for hours and then fails."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from pipeline.failures import MOST_SHOWN
from pipeline.opening import open_output
from pipeline.options import RunConfig
from pipeline.outputs import check_same, check_whole, delete_output
from pipeline.runners import count_workers, is_in_this_process
from transforms.embed import EmbedConfig
from transforms.errors import ConfigurationError
from transforms.esm.checkpoints import Checkpoint
from transforms.esm.model import EsmModelHandler
from transforms.esm.under_way import count_deaths, forget_condemned
from transforms.inputs.finding import FastaFile, Listing
from transforms.lanes import enough_lanes
from transforms.output import commits
from transforms.output.commits import Output
from transforms.output.configuration import write_configuration
from transforms.output.division import check_undivided
from transforms.output.locks import Lock, hold_parts
from transforms.output.resuming import Work, apply, find_work, holds_condemned, raise_refusal
from transforms.output.shards import Shard
from transforms.output.sweeping import sweep
from transforms.text import printable

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What a run will do, once all checks have passed.

    Attributes:
        listing: The input files.
        todo: Those that are not finished yet.
        embed: What turns a sequence into a vector.
        output: Where to write.
        checkpoint: The model.
        lock: What keeps other runs out of the output.
        checkpoint_seconds: Work that a crash may cost at the most.
        is_begun: Whether records of what is to do may have been committed.
        options: The options of the command line and of its file, with their values.
    """

    listing: Listing
    todo: tuple[FastaFile, ...]
    embed: EmbedConfig
    output: Output
    checkpoint: Checkpoint
    lock: Lock
    checkpoint_seconds: float = RunConfig.checkpoint_seconds
    is_begun: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)


def prepare(config: RunConfig, held: ExitStack, checkpoint: Checkpoint | None = None) -> Plan:
    """Checks everything, then makes the output ready and returns what is to be done.

    For a watch that is nothing yet: which files are to be done is found out round by round.

    Args:
        config: What is asked for.
        held: Gets the lock of the output; to be closed when the run is over.
        checkpoint: The model, where it is known already.

    Raises:
        ConfigurationError: Something is not as it must be; nothing was changed.
    """
    opened = open_output(config, held, checkpoint)
    root, run, begun = opened.root, opened.run, opened.begun
    files = () if config.watch else opened.listing.files
    # A compaction keeps away until it is known, and on disk, which files are not finished.
    with hold_parts(root, run):
        check_undivided(root)
        work, committed = Work(files), None
        if begun is not None:
            committed = commits.read_commits(root)
            check_same(root, begun, opened.configuration)
            check_whole(root, committed)
            # A file that fails for its name keeps no other from being tried again.
            asked_for = config.inputs or not config.retry_failed
            refuse = raise_refusal if asked_for else _pass_over
            work = find_work(root, files, committed, config.retry_failed, refuse=refuse)
        if (config.goes_on or work.todo) and is_in_this_process(config.beam_args):
            # Kept in this process for the graph: weights that cannot be loaded show before
            # anything is deleted.
            EsmModelHandler(opened.model).load_model()
        # Once its dead letter is committed, and only then: a command that is given again after
        # each death has to come to its end.
        if (config.retry_failed or begun is None) and _has_condemned(root, committed):
            forget_condemned(root)
        if begun is None:
            delete_output(root)
            write_configuration(root, opened.configuration)
        sweep(root)
        count_deaths(root)
        apply(root, run, work)
        if work.changed:
            logger.info("Changed, so embedded anew as a whole: %s.", _name_some(work.changed))
    size = None if config.goes_on else sum(file.size for file in work.todo)
    lanes = enough_lanes(count_workers(config.beam_args), size)
    embed = EmbedConfig(
        config.residues,
        opened.model,
        dim=opened.checkpoint.hidden_size,
        lanes=lanes,
        hints=config.hints,
    )
    return Plan(
        opened.listing,
        work.todo,
        embed,
        make_output(root, run, opened.configuration),
        opened.checkpoint,
        opened.lock,
        config.checkpoint_seconds,
        options=config.options,
        # Else each worker that starts would read what this very run has committed.
        is_begun=begun is not None,
    )


def _pass_over(_: FastaFile, error: ConfigurationError) -> None:
    logger.warning("Not tried again: %s", printable(str(error)))


def _has_condemned(root: str, committed: commits.Commits | None) -> bool:
    if committed is not None:
        return holds_condemned(root, committed)
    try:
        return holds_condemned(root, commits.read_commits(root))
    except (ConfigurationError, OSError):  # damaged: all of it goes
        return True


def _name_some(sources: Sequence[str]) -> str:
    more = f" and {len(sources) - 1:,} more" if sources[1:] else ""
    return printable(sources[0], MOST_SHOWN) + more


def make_output(
    root: str, run: str, configuration: Mapping[str, Any], shard: Shard | None = None
) -> Output:
    """Returns where a run writes, by what the output is bound to."""
    return Output(
        root=root,
        run=run,
        model=configuration["model"],
        revision=configuration["revision"] or configuration["fingerprint"],
        configuration=tuple(configuration.items()),
        pt=configuration["pt"],
        pt_order=configuration["pt_order"],
        lock=run,
        shard=shard,
    )
