"""All that is checked before any reading, so that nothing runs for hours and then fails."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.options import RunConfig
from transforms import commits, storage
from transforms.checkpoints import Checkpoint, find_checkpoint
from transforms.commits import Commits, Output
from transforms.devices import resolve_device, resolve_dtype
from transforms.embed import EmbedConfig
from transforms.errors import ConfigurationError
from transforms.finding import FastaFile, Listing, check_names, find_fasta, stem
from transforms.model import ModelConfig

REPORT, FAILURES_LOG = "run_report.json", "extraction_failures.log"

# What a change of each setting is called, and the option that sets it.
_SETTINGS = {
    "input_root": "--input_root",
    "model": "--model",
    "fingerprint": "--model (its weights or configuration)",
    "revision": "--revision",
    "dtype": "--dtype",
    "residues": "--residues",
    "long_sequences": "--long_sequences",
    "truncation_seq_length": "--truncation_seq_length",
    "pt": "--sinks",
    "pt_order": "--pt_order",
}


@dataclass(frozen=True)
class Plan:
    """What a run will do, once all checks have passed.

    Attributes:
        listing: The input files.
        todo: Those that are not finished yet.
        embed: What turns a sequence into a vector.
        output: Where to write.
        checkpoint: The model.
    """

    listing: Listing
    todo: tuple[FastaFile, ...]
    embed: EmbedConfig
    output: Output
    checkpoint: Checkpoint


def prepare(config: RunConfig, checkpoint: Checkpoint | None = None) -> Plan:
    """Checks everything, makes the output ready and returns what is to be done.

    Args:
        config: What is asked for.
        checkpoint: The model, where it is known already.

    Raises:
        ConfigurationError: Something is not as it must be; nothing was changed.
    """
    root = storage.absolute(config.output)
    held = commits.read_configuration(root)
    begun = None if config.overwrite else held
    # An output keeps the input root of its first run, so that a file keeps its name.
    input_root = config.input_root or (begun["input_root"] if begun else None)
    listing = find_fasta(config.inputs, input_root)
    check_names(listing.files)
    _check_output(root, is_ours=held is not None)
    model, checkpoint = _find_model(config, checkpoint)
    configuration = _configuration(config, listing.root, checkpoint, model.dtype)
    if begun is not None:
        check_same(root, begun, configuration)
        commits.sweep(root)
    else:
        delete_output(root)
        commits.write_configuration(root, configuration)
    output = Output(
        root=root,
        run=uuid.uuid4().hex[:12],
        model=checkpoint.model,
        revision=checkpoint.revision or checkpoint.fingerprint,
        configuration=tuple(configuration.items()),
        pt=config.pt,
        pt_order=config.pt_order,
    )
    return Plan(
        listing=listing,
        todo=find_unfinished(root, listing.files, commits.read_commits(root)),
        embed=EmbedConfig(config.residues, model, dim=checkpoint.hidden_size),
        output=output,
        checkpoint=checkpoint,
    )


def _find_model(config: RunConfig, checkpoint: Checkpoint | None) -> tuple[ModelConfig, Checkpoint]:
    """Returns how the model is run, with nothing left to be decided on a worker."""
    device = resolve_device(config.model.device)
    dtype = resolve_dtype(config.model.dtype, device)
    checkpoint = checkpoint or find_checkpoint(config.model.model, config.model.revision)
    width = checkpoint.hidden_size
    if config.expected_dim is not None and width != config.expected_dim:
        raise ConfigurationError(
            f"--model {checkpoint.model} gives vectors of {width} values, but --expected_dim is "
            f"{config.expected_dim}. Give another --model or --expected_dim."
        )
    model = replace(
        config.model,
        model=checkpoint.model,
        revision=checkpoint.revision,
        device=device,
        dtype=dtype,
    )
    return model, checkpoint


def _configuration(
    config: RunConfig, input_root: str, checkpoint: Checkpoint, dtype: str
) -> dict[str, Any]:
    """Returns what every row of an output is computed with; nothing else may differ in it."""
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
    }


def _check_output(root: str, is_ours: bool) -> None:
    try:
        storage.check_writable(root)
    except OSError as error:
        raise ConfigurationError(
            f"Cannot write to {root} ({error.strerror or error}). Give another --output."
        ) from error
    if is_ours:
        return
    for folder in (commits.EMBEDDINGS, commits.DEAD_LETTERS, commits.COMMITS, commits.PT):
        if storage.list_names(storage.join(root, folder)):
            raise ConfigurationError(
                f"{storage.join(root, folder)} holds files of something else. "
                "Give another --output."
            )


def check_same(root: str, held: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Makes sure that an output goes on as it was begun.

    Raises:
        ConfigurationError: It was made with another configuration; the difference is named.
    """
    differing = [name for name in wanted if held.get(name) != wanted[name]]
    named = [name for name in differing if name in _SETTINGS] or differing
    if named:
        differences = "; ".join(
            f"{_SETTINGS.get(name, name)} was {held.get(name)}, now {wanted[name]}"
            for name in named
        )
        raise ConfigurationError(
            f"{root} was made with another configuration: {differences}. Use the old one, give "
            "another --output, or --overwrite to delete what is there."
        )


def delete_output(root: str) -> None:
    """Deletes what earlier runs committed, the commit records first."""
    names = (
        commits.COMMITS, commits.EMBEDDINGS, commits.DEAD_LETTERS, commits.PT, storage.STAGING,
        REPORT, FAILURES_LOG,
    )  # fmt: skip
    for name in names:
        storage.delete(storage.join(root, name))


def find_unfinished(
    root: str, files: Sequence[FastaFile], committed: Commits
) -> tuple[FastaFile, ...]:
    """Returns the files that are still to be embedded.

    A finished file is recognised by size and time, else by its content.

    Raises:
        ConfigurationError: A file has changed since records of it were committed, or its
            ``.pt`` would take the name of another's.
    """
    known = {stem(source): source for source in committed.files}
    todo = []
    for file in files:
        other = known.get(stem(file.source), file.source)
        if other != file.source:
            raise ConfigurationError(
                f"{file.url} would get the same .pt as {other}, which this output holds already. "
                "Rename one of them or give another --output."
            )
        if not _is_finished(root, file, committed):
            todo.append(file)
    return tuple(todo)


def _is_finished(root: str, file: FastaFile, committed: Commits) -> bool:
    record = committed.files.get(file.source)
    same_stat = record and (record.size, record.mtime) == (file.size, file.mtime)
    versions = {record.sha256} if record else {
        part.sources[file.source].sha256 for part in committed.parts_of(file.source)
        if not part.sources[file.source].failed
    }  # fmt: skip
    if versions and not same_stat and versions != {_sha256(file)}:
        raise ConfigurationError(
            f"{file.url} has changed since it was embedded into {root}. Give another --output, "
            "or --overwrite to begin anew."
        )
    if record is None:
        return False
    return record.pt is None or storage.exists(storage.join(root, *record.pt.split("/")))


def _sha256(file: FastaFile) -> str:
    digest = hashlib.sha256()
    try:
        for chunk in storage.open_chunks(file.url):
            digest.update(chunk)
    except OSError as error:
        raise ConfigurationError(
            f"{file.url} was embedded before and cannot be read now "
            f"({error.strerror or error}). Make it readable or leave it out."
        ) from error
    return digest.hexdigest()
