"""The models of this process, and what has been learned of each by using it."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from torch import nn

from transforms import events
from transforms.esm.checkpoints import find_checkpoint
from transforms.esm.devices import resolve_device, resolve_dtype
from transforms.esm.encoder import pack_encoder
from transforms.esm.forward import attention_of
from transforms.esm.known_vectors import KnownVectors, affordable_bytes
from transforms.esm.pass_budget import PassBudget, find_budget
from transforms.esm.running_batch import RunningBatch
from transforms.esm.weights import load_encoder

logger = logging.getLogger(__name__)


@dataclass
class Learned:
    """What has come of using a model.

    Attributes:
        vectors: Of sequences that it was given whole.
        budgets: Tokens of a pass, by ``toks_per_batch``.
        running: What was last deferred.
    """

    vectors: KnownVectors
    budgets: dict[int | None, PassBudget] = field(default_factory=dict)
    running: RunningBatch | None = None

    def budget(self, model: nn.Module, toks_per_batch: int | None) -> PassBudget:
        """Returns the budget of a pass, which is looked for once."""
        if toks_per_batch not in self.budgets:
            found = PassBudget(toks_per_batch) if toks_per_batch else find_budget(model)
            self.budgets[toks_per_batch] = found
        return self.budgets[toks_per_batch]


class LoadedModels:
    """Models that outlive DoFns.

    Beam 2.77 loads a model for each lifetime of a DoFn: for each bundle on some runners, after
    each minute of silence on others.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, nn.Module] = {}
        self._loaded: dict[tuple[str | None, ...], tuple[str, nn.Module]] = {}
        self._learned: WeakKeyDictionary[nn.Module, Learned] = WeakKeyDictionary()

    def keep(self, name: str, model: nn.Module) -> None:
        """Makes a model known that is already loaded; see :func:`keep_model`."""
        with self._lock:
            self._kept[name] = model.eval()
            self._learned.pop(model, None)  # its weights may be others by now

    def drop(self, name: str) -> None:
        """Lets go of a model that was kept."""
        with self._lock:
            self._kept.pop(name, None)

    def get(self, name: str, revision: str | None, dtype: str, device: str) -> nn.Module:
        """Returns a model; loads it the first time, and again when its files have changed.

        Raises:
            ConfigurationError: The model, its device or its dtype cannot be had.
        """
        with self._lock:
            if name in self._kept:
                return self._kept[name]
            device = resolve_device(device)
            dtype = resolve_dtype(dtype, device)
            checkpoint = find_checkpoint(name, revision)
            key = (checkpoint.model, checkpoint.revision, dtype, device)
            fingerprint, model = self._loaded.get(key, (None, None))
            if model is not None and fingerprint == checkpoint.fingerprint:
                return model
            started = time.perf_counter()
            model = pack_encoder(load_encoder(checkpoint, dtype, device))
            seconds = time.perf_counter() - started
            self._loaded[key] = checkpoint.fingerprint, model
        attention = attention_of(model)
        logger.info(
            "Loaded %s in %.1f s: %s on %s, %s", checkpoint.model, seconds, dtype, device, attention
        )
        events.emit(events.ModelLoaded(checkpoint.model, device, dtype, attention, seconds))
        return model

    def learned_of(self, model: nn.Module) -> Learned:
        """Returns what has been learned of a model; for one thread at a time."""
        if (learned := self._learned.get(model)) is None:
            learned = self._learned[model] = Learned(KnownVectors(affordable_bytes(model)))
        return learned

    def forget(self) -> None:
        """Drops what has been learned, as if no model had been used."""
        self._learned.clear()


MODELS = LoadedModels()
