"""All that is checked before any reading, so that nothing runs for hours and then fails."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.model_options import check_width
from pipeline.options import RunConfig
from pipeline.outputs import (
    check_output,
    check_same,
    check_whole,
    delete_output,
    lock_output,
)
from pipeline.runners import (
    are_workers_elsewhere,
    check_runner,
    count_workers,
    is_in_this_process,
)
from pipeline.spool import Spool
from transforms import commits, storage
from transforms.checkpoints import Checkpoint, find_checkpoint
from transforms.commits import Output
from transforms.devices import resolve_device, resolve_dtype
from transforms.division import check_undivided
from transforms.embed import EmbedConfig
from transforms.errors import ConfigurationError
from transforms.esm_pt import check_pt_names
from transforms.finding import FastaFile, Listing, check_names, find_fasta
from transforms.lanes import enough_lanes
from transforms.locks import Lock, hold_parts
from transforms.messages import INPUTS, MESSAGES, has_messages
from transforms.model import EsmModelHandler, ModelConfig
from transforms.resuming import Work, apply, failed_urls, find_work, holds_condemned
from transforms.shards import Shard
from transforms.sweeping import sweep
from transforms.text import printable
from transforms.under_way import count_deaths, forget_condemned

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
    checkpoint_seconds: float = 60.0
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
    check_runner(config.beam_args)
    root = storage.absolute(config.output)
    found = read_begun(root)
    begun = None if config.overwrite else found
    listing = list_files(config, root, begun)
    files = () if config.watch else listing.files
    check_output(root, is_ours=found is not None)
    run = uuid.uuid4().hex[:12]
    lock = lock_output(root, run, held)
    if commits.read_configuration(root) != found:
        raise ConfigurationError(
            f"Another run has begun {root} anew in this moment. Give the command again."
        )
    model, checkpoint = find_model(config, checkpoint)
    configuration = make_configuration(config, listing.root, checkpoint, model.dtype)
    # A compaction keeps away until it is known, and on disk, which files are not finished.
    with hold_parts(root, run):
        check_undivided(root)
        work = Work(files)
        committed = commits.read_commits(root)
        if begun is not None:
            check_same(root, begun, configuration)
            check_whole(root, committed)
            work = find_work(root, files, committed, config.retry_failed)
        if (config.goes_on or work.todo) and is_in_this_process(config.beam_args):
            # Kept in this process for the graph: weights that cannot be loaded show before
            # anything is deleted.
            EsmModelHandler(model).load_model()
        # Once its dead letter is committed, and only then: a command that is given again after
        # each death has to come to its end.
        if (config.retry_failed or begun is None) and holds_condemned(root, committed):
            forget_condemned(root)
        if begun is None:
            delete_output(root)
            commits.write_configuration(root, configuration)
        sweep(root)
        count_deaths(root)
        apply(root, run, work)
    output = make_output(root, run, configuration)
    size = None if config.goes_on else sum(file.size for file in work.todo)
    lanes = enough_lanes(count_workers(config.beam_args), size)
    embed = EmbedConfig(
        config.residues, model, dim=checkpoint.hidden_size, lanes=lanes, hints=config.hints
    )
    return Plan(
        listing,
        work.todo,
        embed,
        output,
        checkpoint,
        lock,
        config.checkpoint_seconds,
        options=config.options,
        # Else each worker that starts would read what this very run has committed.
        is_begun=begun is not None,
    )


def read_begun(root: str) -> dict[str, Any] | None:
    """Returns what an output is bound to; None for a new one.

    Raises:
        ConfigurationError: It cannot be read.
    """
    try:
        return commits.read_configuration(root)
    except OSError as error:
        raise ConfigurationError(
            f"Cannot read {root} ({error.strerror or error}). Give another --output."
        ) from error


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


def list_files(config: RunConfig, root: str, begun: Mapping[str, Any] | None) -> Listing:
    """Returns the input files.

    Args:
        config: What is asked for.
        root: The output root.
        begun: What the output is bound to; None if it is to begin anew.

    Raises:
        ConfigurationError: There are none, or they cannot go into this output.
    """
    listing = _find_files(config, root, begun)
    if not config.watch:  # which refuses names file by file, as they come
        check_names(listing.files)
        if config.pt:
            check_pt_names(listing.files)
    return listing


def _find_files(config: RunConfig, root: str, begun: Mapping[str, Any] | None) -> Listing:
    if begun is not None and has_messages(begun) != (config.input_subscription is not None):
        kind, option = "files", "--input"
        if has_messages(begun):
            kind, option = "messages", "--input_subscription"
        raise ConfigurationError(
            f"{root} holds rows of {kind}. Go on with {option}, or give another --output."
        )
    if config.input_subscription:
        return Listing(MESSAGES, Spool(root).pulls() if begun is not None else (), 0)
    # An output keeps the input root of its first run, so that a file keeps its name.
    input_root = config.input_root or (begun["input_root"] if begun else None)
    if config.inputs:
        return find_fasta(config.inputs, input_root, are_coming=config.watch)
    if begun is None:
        raise ConfigurationError(
            f"{root} holds no dead letters: it is no output of a run. Give --input."
        )
    there = []
    for url in failed_urls(root, begun["input_root"], commits.read_commits(root)):
        if storage.exists(url):
            there.append(url)
        else:
            logger.warning("Not tried again, for it is gone: %s", printable(url))
    if not there:
        return Listing(begun["input_root"], (), 0)
    return find_fasta(there, begun["input_root"])


def find_model(config: RunConfig, checkpoint: Checkpoint | None) -> tuple[ModelConfig, Checkpoint]:
    """Returns how the model is run, with nothing left to be decided on a worker."""
    device = resolve_device(
        config.model.device, is_here=not are_workers_elsewhere(config.beam_args)
    )
    dtype = resolve_dtype(config.model.dtype, device)
    checkpoint = checkpoint or find_checkpoint(config.model.model, config.model.revision)
    check_width(checkpoint.model, checkpoint.hidden_size, config.expected_dim)
    model = replace(
        config.model,
        model=checkpoint.model,
        revision=checkpoint.revision,
        device=device,
        dtype=dtype,
    )
    return model, checkpoint


def make_configuration(
    config: RunConfig, input_root: str, checkpoint: Checkpoint, dtype: str
) -> dict[str, Any]:
    """Returns what may not change from one run on an output to the next."""
    return {
        "format": 1,
        "input_root": input_root,
        "model": checkpoint.model,
        "revision": checkpoint.revision,
        "fingerprint": checkpoint.fingerprint,
        "dim": checkpoint.hidden_size,
        "layers": checkpoint.layers,
        "pooling": "mean of residues 1:n+1 of the last hidden state, in float32",
        "dtype": dtype,
        "residues": config.residues.residues,
        "long_sequences": config.residues.long_sequences,
        "truncation_seq_length": config.residues.truncation_seq_length,
        "pt": config.pt,
        "pt_order": config.pt_order,
        **({INPUTS: MESSAGES} if config.input_subscription else {}),
    }
