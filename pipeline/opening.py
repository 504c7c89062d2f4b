"""How a run opens an output: inputs, lock and model, all checked before anything is changed."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from pipeline.messages.spool import Spool
from pipeline.option_groups.model import check_width
from pipeline.options import RunConfig
from pipeline.outputs import check_output, lock_output
from pipeline.runners import are_workers_elsewhere, check_runner
from transforms import storage
from transforms.errors import ConfigurationError
from transforms.esm.checkpoints import Checkpoint, find_checkpoint
from transforms.esm.devices import resolve_device, resolve_dtype
from transforms.esm.model import ModelConfig
from transforms.inputs.collisions import check_names, check_pt_names
from transforms.inputs.finding import Listing, find_fasta
from transforms.messages import has_messages
from transforms.output import commits
from transforms.output.commits import INPUTS, MESSAGES
from transforms.output.configuration import FORMAT, read_configuration
from transforms.output.holders import lock_name
from transforms.output.locks import Lock
from transforms.output.resuming import failed_urls
from transforms.text import printable

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OpenOutput:
    """An output whose lock a run holds, and what the run is to be made with.

    Attributes:
        root: The output root.
        begun: What the output is bound to; None if it is to begin anew.
        listing: The input files.
        run: Name of the run.
        lock: What keeps other runs out.
        model: How the model is run, with nothing left to be decided on a worker.
        checkpoint: The model.
        configuration: What may not change from one run on the output to the next.
    """

    root: str
    begun: dict[str, Any] | None
    listing: Listing
    run: str
    lock: Lock
    model: ModelConfig
    checkpoint: Checkpoint
    configuration: dict[str, Any]


def open_output(
    config: RunConfig,
    held: ExitStack,
    checkpoint: Checkpoint | None = None,
) -> OpenOutput:
    """Checks all that can be checked before an output is changed, and locks it.

    Args:
        config: What is asked for.
        held: Gets the lock of the output, or of the shard's share of it.
        checkpoint: The model, where it is known already.

    Raises:
        ConfigurationError: Something is not as it must be; nothing was changed.
    """
    check_runner(config.beam_args)
    shard = config.shard
    root = storage.absolute(config.output)
    found = read_begun(root)
    begun = None if config.overwrite else found
    listing = list_files(config, root, begun)
    had: tuple[ModelConfig, Checkpoint] | None = None
    if not storage.exists(root) and not storage.is_directory(root):
        had = find_model(config, checkpoint)  # before a folder is made, in which nothing would be
    # For a shard whose it is shows when no other can begin it.
    check_output(root, is_ours=found is not None or shard is not None)
    run = f"{shard.runs if shard else ''}{uuid.uuid4().hex[:12]}"
    lock = lock_output(root, run, held, lock_name(shard))
    if shard is None and read_configuration(root) != found:
        raise ConfigurationError(
            f"Another run has begun {root} anew in this moment. Give the command again."
        )
    model, checkpoint = had or _find_model_of(root, begun, config, checkpoint)
    configuration = make_configuration(config, listing.root, checkpoint, model.dtype)
    return OpenOutput(root, begun, listing, run, lock, model, checkpoint, configuration)


def read_begun(root: str) -> dict[str, Any] | None:
    """Returns what an output is bound to; None for a new one.

    Raises:
        ConfigurationError: It cannot be read.
    """
    try:
        return read_configuration(root)
    except OSError as error:
        raise ConfigurationError(
            f"Cannot read {root} ({error.strerror or error}). Give another --output."
        ) from error


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
        return find_fasta(
            config.inputs, input_root, are_coming=config.watch, is_bound=begun is not None
        )
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


def _find_model_of(
    root: str, begun: Mapping[str, Any] | None, config: RunConfig, checkpoint: Checkpoint | None
) -> tuple[ModelConfig, Checkpoint]:
    """Does what :func:`find_model` does; of another model than the output's only that is said."""
    try:
        return find_model(config, checkpoint)
    except ConfigurationError as error:
        asked = config.model.model
        if begun is None or begun["model"] in (asked, storage.absolute(asked)):
            raise
        raise ConfigurationError(
            f"{root} was made with --model {begun['model']}, not {asked}. Give that --model, or "
            "another --output."
        ) from error


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
        "format": FORMAT,
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
