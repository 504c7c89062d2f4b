"""A batch with the model: from proteins to what became of each sequence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from torch import nn

from transforms import events
from transforms.esm.bisection import Failure
from transforms.esm.known_vectors import KnownVectors
from transforms.esm.pass_budget import PassBudget
from transforms.esm.passes import Outcomes, embed_passes
from transforms.esm.under_way import Notes
from transforms.items import Protein


class RunningBatch:
    """Identical sequences are computed once, also those of the batch before.

    Where passes can wait on the device, they are being launched once this has been made.

    Args:
        proteins: What to embed.
        model: As :func:`embed_passes` takes it, like the next four.
        budget: Tokens of one pass.
        max_residues: What the model is given at the most.
        notes: Notes what is under way.
        known: Vectors that were computed before.
        before: The batch that was begun before, if it may still be running.
    """

    def __init__(
        self,
        proteins: Sequence[Protein],
        model: nn.Module,
        budget: PassBudget,
        max_residues: int,
        notes: Notes,
        known: KnownVectors,
        before: RunningBatch | None = None,
    ) -> None:
        self._is_open = True
        self._known = known
        self._before = before
        self._by_sequence: dict[str, list[Protein]] = defaultdict(list)
        for protein in proteins:
            self._by_sequence[protein.used].append(protein)
        if before and notes.has_suspect(self._by_sequence):
            before.finish()  # a suspect must be alone
        # The vector of a longer one depends on the size of its windows too.
        self._whole = [s for s in self._by_sequence if len(s) <= max_residues]
        found = zip(self._whole, map(known.get, self._whole), strict=True)
        self._outcomes: Outcomes = {s: v for s, v in found if v is not None}
        self._borrowed = before.running.intersection(self._whole) if before else set()
        unknown = [
            s for s in self._by_sequence if s not in self._outcomes and s not in self._borrowed
        ]
        self.running: frozenset[str] = frozenset(s for s in unknown if len(s) <= max_residues)
        self._passes = embed_passes(model, unknown, budget, max_residues, notes)

    def finish(self) -> Outcomes:
        """Waits for what becomes of each sequence, and tells the listeners as it comes.

        Returns:
            A vector, float32 of shape (D,), or a failure for each sequence.

        Raises:
            Exception: The device is broken for this process.
        """
        if self._is_open:
            self._is_open = False  # whatever comes of it: a device that breaks stays broken
            try:
                self._finish()
            finally:
                self._before, self.running = None, frozenset()
        return self._outcomes

    def _finish(self) -> None:
        self._announce(self._outcomes)
        if self._before:
            earlier = self._before.finish()
            self._add({sequence: earlier[sequence] for sequence in self._borrowed})
        for done in self._passes:
            self._add(done)
        for sequence in self._whole:
            if not isinstance(vector := self._outcomes[sequence], Failure):
                self._known.keep(sequence, vector)

    def _add(self, outcomes: Outcomes) -> None:
        self._outcomes.update(outcomes)
        self._announce(outcomes)

    def _announce(self, outcomes: Outcomes) -> None:
        embedded = [
            protein
            for sequence, outcome in outcomes.items()
            if not isinstance(outcome, Failure)
            for protein in self._by_sequence[sequence]
        ]
        if embedded:
            residues = sum(len(protein.sequence) for protein in embedded)
            events.emit(events.RecordsEmbedded(len(embedded), residues))
