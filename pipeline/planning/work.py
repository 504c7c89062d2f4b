"""What the model would be given: the batches and passes of a run on one machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from transforms.batching import Fill, TokenBudget, token_cost
from transforms.esm.known_vectors import affordable_beside, kept_bytes
from transforms.esm.slicing import batch_tokens, count_passes
from transforms.esm.windows import cut_windows
from transforms.items import Item, Protein
from transforms.recent import Recent

FLOAT_BYTES = {"float16": 2, "bfloat16": 2, "float32": 4}


@dataclass(frozen=True)
class Setting:
    """How the model would be run.

    Attributes:
        device: ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        dtype: ``float16``, ``bfloat16`` or ``float32``.
        pass_tokens: Tokens of a forward pass.
    """

    device: str
    dtype: str
    pass_tokens: int


@dataclass
class Work:
    """What the model would be given.

    Attributes:
        setting: How it would be run.
        weights_bytes: Bytes of its weights.
        kept_bytes: Bytes of the vectors that are kept because their sequences may come again.
        batches: Batches with something for the model.
        records: Records to be embedded.
        distinct: Sequences that are computed for them.
        tokens: Tokens of all records, BOS and EOS counted, with what windows have in common.
        computed_tokens: Tokens that are computed, since identical sequences are computed once
            as far as they are remembered.
        passes: Forward passes, where sequences are packed: there is no padding then.
        padded_passes: Passes where each sequence of one is padded to the longest.
        padded_tokens: Tokens that those compute, padding too.
    """

    setting: Setting
    weights_bytes: int
    kept_bytes: int = 0
    batches: int = 0
    records: int = 0
    distinct: int = 0
    tokens: int = 0
    computed_tokens: int = 0
    passes: int = 0
    padded_passes: int = 0
    padded_tokens: int = 0

    @property
    def padding(self) -> float:
        """The share of padding in what padded passes compute."""
        return 1 - self.computed_tokens / self.padded_tokens if self.padded_tokens else 0.0

    @property
    def fill(self) -> float:
        """How full packed passes are."""
        room = self.passes * self.setting.pass_tokens
        return self.computed_tokens / room if room else 0.0

    @property
    def saved(self) -> float:
        """The share of tokens that need not be computed."""
        return 1 - self.computed_tokens / self.tokens if self.tokens else 0.0


class Schedule:
    """Cuts records into batches and these into passes, as a run does.

    Batches are cut by the budget of ``BatchByTokens``, and what is remembered of a sequence is
    forgotten where a run forgets it, so memory does not grow with the input. A run on several
    cores cuts its last passes smaller, and one of several lanes has batches of its own.

    Args:
        setting: How the model would be run.
        max_residues: Residues that it is given at the most; longer sequences go in windows.
        dim: Width of its vectors.
        parameters: How many it has.
    """

    def __init__(self, setting: Setting, max_residues: int, dim: int, parameters: int) -> None:
        weights = parameters * FLOAT_BYTES[setting.dtype]
        self.work = Work(setting, weights)
        self._max_residues = max_residues
        self._vector_bytes = 4 * dim
        self._budget = TokenBudget(batch_tokens(setting.pass_tokens))
        self._fill = Fill()
        self._held: list[str] = []
        self._known: Recent[bool] = Recent(affordable_beside(weights))

    def add(self, items: Sequence[Item]) -> None:
        """Takes what comes next, as CheckResidues leaves it."""
        ends, self._fill = self._budget.cut(self._fill, map(token_cost, items))
        start = 0
        for end in ends:
            self._hold(items[start:end])
            self.close()
            start = end
        self._hold(items[start:])

    def _hold(self, items: Iterable[Item]) -> None:
        self._held += [item.used for item in items if isinstance(item, Protein)]

    def close(self) -> None:
        """Gives the model what is held, as at the end of the input."""
        if not self._held:
            return
        work, known = self.work, self._known
        cuts = {sequence: self._cut(sequence) for sequence in self._held}
        unknown = [sequence for sequence in cuts if not known.get(sequence)]
        lengths = [length for sequence in unknown for length in cuts[sequence]]
        passes, computed = count_passes(lengths, work.setting.pass_tokens, padded=False)
        padded_passes, padded_tokens = count_passes(lengths, work.setting.pass_tokens)
        work.batches += 1
        work.records += len(self._held)
        work.distinct += len(unknown)
        work.tokens += sum(sum(cuts[sequence]) + 2 * len(cuts[sequence]) for sequence in self._held)
        work.computed_tokens += computed
        work.passes += passes
        work.padded_passes += padded_passes
        work.padded_tokens += padded_tokens
        for sequence in cuts:
            # That of a longer one depends on its windows too, and is not kept.
            if len(sequence) <= self._max_residues and sequence not in known:
                known.add(sequence, True, kept_bytes(sequence, self._vector_bytes))
        work.kept_bytes = known.size
        self._held = []

    def _cut(self, sequence: str) -> list[int]:
        """Returns the residues of each sequence that the model is given for one."""
        if len(sequence) <= self._max_residues:
            return [len(sequence)]
        return [each.stop - each.start for each in cut_windows(len(sequence), self._max_residues)]
