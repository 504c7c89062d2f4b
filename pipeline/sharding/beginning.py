"""How a shard begins: what it checks, and how it joins the others on an output."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from pipeline.checks import Plan, make_output
from pipeline.opening import open_output
from pipeline.options import RunConfig
from pipeline.outputs import check_output, check_same, check_whole
from transforms.embed import EmbedConfig
from transforms.errors import ConfigurationError
from transforms.esm.model import EsmModelHandler
from transforms.esm.under_way import count_deaths
from transforms.inputs.finding import FastaFile
from transforms.output import commits
from transforms.output.configuration import read_configuration, write_configuration
from transforms.output.division import (
    begin_division,
    describe_missing,
    forget_end,
    has_ended,
    look_at_shards,
    read_division,
)
from transforms.output.holders import RUN, read_holder
from transforms.output.locks import HeldError, hold, hold_parts
from transforms.output.resuming import digest_of
from transforms.output.shards import Shard
from transforms.output.share_work import find_share
from transforms.output.sweeping import sweep_parts, sweep_shard
from transforms.shares import read_shares


def prepare_shard(config: RunConfig, held: ExitStack) -> Plan:
    """Checks everything, then makes the output ready and returns what the shard has to do.

    Args:
        config: What is asked for; its shard is of no division yet.
        held: Gets the lock of the shard; to be closed when it is over.

    Raises:
        ConfigurationError: Something is not as it must be; nothing was changed.
    """
    shard = config.shard
    assert shard is not None
    opened = open_output(config, held)
    root, run, configuration = opened.root, opened.run, opened.configuration
    if opened.begun is None or _may_have_work(root, shard, opened.listing.files):
        # Weights that cannot be loaded show before anything is written.
        EsmModelHandler(opened.model).load_model()
    with hold_parts(root, run):
        shard = _join(root, run, shard, configuration, opened.listing.files)
        sweep_shard(root, shard)
        count_deaths(root, shard.runs)
    shares = {share.source: share for _, share in read_shares(root, [shard])}
    todo: tuple[FastaFile, ...] = ()
    if shard.division:
        todo = find_share(root, opened.listing.files, commits.read_commits(root), shares)
    if todo:
        EsmModelHandler(opened.model).load_model()
        forget_end(root, shard)
    return Plan(
        opened.listing,
        todo,
        EmbedConfig(config.residues, opened.model, dim=opened.checkpoint.hidden_size),
        make_output(root, run, configuration, shard),
        opened.checkpoint,
        opened.lock,
        config.checkpoint_seconds,
        options=config.options,
    )


def _may_have_work(root: str, shard: Shard, files: Sequence[FastaFile]) -> bool:
    if (division := read_division(root)) is None:
        return not _is_complete(root, files)
    return not has_ended(root, replace(shard, division=division.id))


def _join(
    root: str,
    run: str,
    shard: Shard,
    configuration: dict[str, object],
    files: Sequence[FastaFile],
) -> Shard:
    """Begins the output and its division, or makes sure that the shard goes with what is begun.

    Only for who holds the parts: no other shard, and no run, can do so at this time.

    Returns:
        The shard, of the division; of none if there is nothing left to divide.

    Raises:
        ConfigurationError: It does not.
    """
    if _is_held(root, run):
        raise ConfigurationError(
            f"A run without --shard is at work in {root} ({read_holder(root, RUN)}). Wait for "
            "it, or give another --output."
        )
    begun = read_configuration(root)
    if begun is None:
        check_output(root, is_ours=False)
    else:
        check_same(root, begun, configuration)
        check_whole(root, commits.read_commits(root))
    division = read_division(root)
    if division and division.count != shard.count:
        missing = describe_missing(look_at_shards(root, division)) or "all of them have ended"
        raise ConfigurationError(
            f"{root} is being made by {division.count} shards, not {shard.count}: {missing}. Give "
            f"--shard I/{division.count} until all have ended. To divide anew what is left, end "
            f"them, and then `python -m pipeline.finish {root} --release`."
        )
    if division is None:
        # What is complete is not divided anew by a shard that is started again, all alone.
        if begun and _is_complete(root, files):
            return shard
        # Nobody else is at work yet: what a killed run without shards has left can go.
        sweep_parts(root)
        count_deaths(root)
        division = begin_division(root, shard.count)
    if begun is None:
        write_configuration(root, configuration)
    return division.shard(shard.number)


def _is_complete(root: str, files: Sequence[FastaFile]) -> bool:
    """Tells whether there is nothing left but files that failed, and are as they were then."""
    committed = commits.read_commits(root)
    failed = {
        source: held.sha256
        for part in committed.parts.values()
        for source, held in part.sources.items()
        if held.failed
    }
    return all(
        failed.get(file.source) == digest_of(file, must_be_readable=False)
        for file in find_share(root, files, committed, {})
    )


def _is_held(root: str, run: str) -> bool:
    """Tells whether a run without shards is at work."""
    holder = read_holder(root, RUN)
    if holder is None or holder.released:
        return False
    try:
        with hold(root, run):  # watches one on another machine
            return False
    except HeldError:
        return True
