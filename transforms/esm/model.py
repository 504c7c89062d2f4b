"""The model as Beam's RunInference knows it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler
from torch import nn

from transforms.arrays import Vector
from transforms.awaiting import Deferred
from transforms.dead_letters import record_failed
from transforms.esm.bisection import Failure
from transforms.esm.checkpoints import DEFAULT_MODEL
from transforms.esm.forward import attention_of, launches_ahead
from transforms.esm.loaded import MODELS
from transforms.esm.pass_budget import full_pass
from transforms.esm.passes import Outcomes
from transforms.esm.running_batch import RunningBatch
from transforms.esm.under_way import open_notes
from transforms.items import Batch, EmbeddingBlock, Item, Protein
from transforms.output.commits import Output


@dataclass(frozen=True)
class ModelConfig:
    """A model and how it is run.

    Attributes:
        model: ``demo``, a local directory, or a hub id.
        revision: Branch, tag or commit on the hub; None for its main branch.
        dtype: ``auto``, ``float16``, ``bfloat16`` or ``float32``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        toks_per_batch: Tokens of one forward pass; None for what fills the device, as far as its
            memory goes.
    """

    model: str = DEFAULT_MODEL
    revision: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    toks_per_batch: int | None = None

    @property
    def full_pass(self) -> int:
        """Tokens of a pass where memory is no matter."""
        return self.toks_per_batch or full_pass(self.device)


# Threads of a worker share one model; two passes at once would need twice the memory.
_INFERENCE = threading.Lock()


def keep_model(name: str, model: nn.Module) -> None:
    """Makes a model that is already loaded known under a name, for ``ModelConfig.model``.

    Args:
        name: Takes precedence over a directory or hub id of that name in this process.
        model: On the device and in the dtype it is to be run with; gives
            ``last_hidden_state`` (B, T, D) for ``input_ids`` and ``attention_mask`` (B, T).
            It is put into eval mode. Where its weights are changed in place, it is to be made
            known again: vectors of identical sequences are remembered.
    """
    MODELS.keep(name, model)


def drop_model(name: str) -> None:
    """Lets go of a model that :func:`keep_model` has made known."""
    MODELS.drop(name)


class EsmModelHandler(ModelHandler[Batch, Item, nn.Module]):  # type: ignore[misc]
    """Embeds batches: the mean over the residues of the last hidden state.

    For each :class:`Batch` come out one :class:`EmbeddingBlock` with what was embedded, unless
    that is nothing, a :class:`DeadLetter` for each protein that failed, and every other item as
    it came. The handler keeps a bad record from harming its neighbours itself; what it raises
    is fatal by intention.

    Args:
        config: The model and how it is run.
        max_residues: Residues that the model is given at the most; a longer sequence is taken in
            windows. The residue policy truncates before that, unless windows are asked for.
        output: Where it is noted what is under way, so that a record that kills the process does
            not do so for ever; None for nowhere.
        hints: Beam's resource hints of the step, by name.
        defers: Whether to return a :class:`Deferred` while the device is still at work, for
            ``AwaitDevice`` behind it; without, all has been computed.
    """

    def __init__(
        self,
        config: ModelConfig,
        max_residues: int = 1024,
        output: Output | None = None,
        hints: Mapping[str, str] | None = None,
        defers: bool = False,
    ) -> None:
        super().__init__()
        self._config = config
        self._max_residues = max_residues
        self._root = output.root if output else None
        self._run = output.run if output else ""
        self._hints = dict(hints or {})
        self._defers = defers

    def load_model(self) -> nn.Module:
        """Returns the model, which is read once in a process.

        Raises:
            ConfigurationError: The model, its device or its dtype cannot be had.
        """
        config = self._config
        return MODELS.get(config.model, config.revision, config.dtype, config.device)

    def run_inference(
        self, batch: Batch, model: nn.Module, inference_args: dict[str, Any] | None = None
    ) -> list[Item]:
        """Embeds the proteins of a batch.

        Identical sequences are computed once.

        Args:
            batch: Proteins, and what rides along.
            model: As :meth:`load_model` returns it.
            inference_args: Unused.

        Returns:
            The block, if anything was embedded, its proteins in the order of the batch; then
            dead letters and other items, in the order of the batch.

        Raises:
            Exception: The device is broken for this process.
        """
        Metrics.string_set(self.get_metrics_namespace(), "attention").add(attention_of(model))
        with _INFERENCE:
            learned = MODELS.learned_of(model)
            running = RunningBatch(
                batch.proteins,
                model,
                learned.budget(model, self._config.toks_per_batch),
                self._max_residues,
                open_notes(self._root, self._run),
                learned.vectors,
                before=learned.running,
            )
            if not (self._defers and launches_ahead(model)):
                return _collect(batch.items, running.finish())
            learned.running = running

        def resolve() -> list[Item]:
            with _INFERENCE:
                return _collect(batch.items, running.finish())

        return [Deferred(resolve)]

    def get_resource_hints(self) -> dict[str, str]:
        """Returns what the step asks of its workers.

        Beam sets it on the innermost step alone. On one that has others in it, Dataflow would be
        asked for several times the ``max_active_bundles_per_worker``: they are added up.
        """
        return self._hints

    def should_skip_batching(self) -> bool:
        """Batches come from ``BatchByTokens``."""
        return True

    def get_num_bytes(self, batch: Batch) -> int:
        """Returns the residues that the model is given, a byte each."""
        return sum(len(protein.used) for protein in batch.proteins)

    def get_metrics_namespace(self) -> str:
        """Returns the namespace of Beam's inference metrics."""
        return "EsmModelHandler"


def _collect(items: Iterable[Item], outcomes: Outcomes) -> list[Item]:
    """Puts the vectors into one block, before everything else that there was in the batch."""
    proteins: list[Protein] = []
    vectors: list[Vector] = []
    others: list[Item] = []
    for item in items:
        if not isinstance(item, Protein):
            others.append(item)
            continue
        outcome = outcomes[item.used]
        if item.tokens != len(item.used) + 2:
            message = f"{item.tokens} tokens were asked for, {len(item.used) + 2} were computed"
            outcome = Failure("token_mismatch", message, attempts=1)
        if isinstance(outcome, Failure):
            others.append(
                record_failed(
                    item, "inference", outcome.error_type, outcome.message, outcome.attempts
                )
            )
        else:
            proteins.append(item)
            vectors.append(outcome)
    if not proteins:
        return others
    return [EmbeddingBlock(tuple(proteins), np.stack(vectors)), *others]
