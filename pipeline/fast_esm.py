"""A drop-in for the script that this pipeline replaces."""

from __future__ import annotations

import logging
import os
import tempfile
import uuid
from contextlib import ExitStack
from dataclasses import replace

import torch

from pipeline.checks import Plan, prepare
from pipeline.execution import execute
from pipeline.failures import iterate_dead_letters
from pipeline.file_states import FAILED
from pipeline.options import RunConfig
from pipeline.run_report import Report, log_line
from transforms import storage
from transforms.errors import ConfigurationError, FastaFormatError
from transforms.esm.checkpoints import DEFAULT_MODEL, Checkpoint
from transforms.esm.model import ModelConfig, drop_model, keep_model
from transforms.naming import failures_name, pt_name
from transforms.residues import ResiduePolicy

logger = logging.getLogger(__name__)

Embedded = tuple[list[str], list[torch.Tensor]]


def extract_fast_esm(
    fasta_file: str | os.PathLike[str],
    out_file: str | os.PathLike[str] | None = None,
    model: torch.nn.Module | str | None = None,
    tokenizer: object = None,
    truncation_seq_length: int = 1024,
    toks_per_batch: int = 2048,
) -> Embedded:
    """Embeds one FASTA file, with the arguments and the return value of the old script.

    Unlike it, this keeps FASTA order, never returns a vector that failed a check, and never
    takes one bad record for the failure of its batch.

    Args:
        fasta_file: The FASTA file; one, not a folder.
        out_file: Where to save ``{'proteins': …, 'data': …}``; if the file is there, it is loaded
            and returned. Records that failed are listed beside it in ``….failures.jsonl``.
        model: A loaded FastESM2 or ESM-2 model, with or without a head, or the name of one; None
            for FastESM2_650.
        tokenizer: Not needed; accepted because the script took one.
        truncation_seq_length: Residues that the model is given at the most.
        toks_per_batch: Tokens of one forward pass.

    Returns:
        The ids, and for each a float32 tensor of shape (D,).

    Raises:
        ConfigurationError: The model or the file is not there.
        FastaFormatError: The file cannot be read to its end.
        RuntimeError: No record of the file could be embedded, or the run failed.
    """
    fasta_file = os.fspath(fasta_file)
    if os.path.isdir(fasta_file):
        raise ConfigurationError(f"{fasta_file} is a folder; give one FASTA file.")
    target = os.path.abspath(out_file) if out_file else None
    if target and os.path.exists(target):
        return _load(target)
    folder = os.path.dirname(target) if target else None
    if folder:
        os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".extract_fast_esm-", dir=folder) as work:
        config = RunConfig(
            inputs=(fasta_file,),
            output=work,
            residues=ResiduePolicy(truncation_seq_length=truncation_seq_length),
            model=ModelConfig(
                model if isinstance(model, str) else DEFAULT_MODEL, toks_per_batch=toks_per_batch
            ),
        )
        with ExitStack() as held:
            if isinstance(model, torch.nn.Module):
                plan = _prepare_loaded(config, model, held)
            else:
                plan = prepare(config, held)
            files = plan.listing.files
            if len(files) > 1:
                raise ConfigurationError(f"{fasta_file} matches {len(files)} files; give one.")
            report = execute(plan)
        _raise_failure(report)
        for letter in iterate_dead_letters(work, report.committed):
            logger.warning("%s", log_line(letter))
        source = files[0].source
        embedded = _load(os.path.join(work, pt_name(source)))
        if target:
            if report.dead_letters:
                failures = f"{target.removesuffix('.pt')}.failures.jsonl"
                storage.move(os.path.join(work, failures_name(source)), failures)
            storage.move(os.path.join(work, pt_name(source)), target)
    return embedded


def _prepare_loaded(config: RunConfig, model: torch.nn.Module, held: ExitStack) -> Plan:
    """Plans a run with a model that is in memory already."""
    weights = next(model.parameters())
    name = f"a model in memory, {uuid.uuid4().hex}"  # several threads may each have one
    # A model with a head has its encoder, which gives the hidden states, as its base model.
    keep_model(name, getattr(model, "base_model", model))
    held.callback(drop_model, name)
    loaded = ModelConfig(
        name,
        dtype=str(weights.dtype).removeprefix("torch."),
        device="mps" if weights.device.type == "mps" else str(weights.device),
        toks_per_batch=config.model.toks_per_batch,
    )
    checkpoint = Checkpoint(
        model=name,
        revision=None,
        directory=None,
        hidden_size=int(model.config.hidden_size),  # type: ignore[union-attr, arg-type]
        layers=int(model.config.num_hidden_layers),  # type: ignore[union-attr, arg-type]
        fingerprint=name,
    )
    return prepare(replace(config, model=loaded), held, checkpoint)


def _raise_failure(report: Report) -> None:
    if report.failure:
        raise RuntimeError(report.failure)
    if report.with_status(FAILED):
        raise FastaFormatError(report.failures[0].first.message)
    if report.dead_letters and not report.rows:
        raise RuntimeError(
            f"None of the {report.dead_letters:,} records could be embedded; the first: "
            f"{report.failures[0].first.message}"
        )


def _load(path: str) -> Embedded:
    content = torch.load(path, weights_only=True)
    return content["proteins"], content["data"]
