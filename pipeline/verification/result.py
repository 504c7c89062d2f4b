"""An output verified: whether it can be, by which model, and what is told of it."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.outputs import REPORT
from pipeline.recorded import read_recorded
from pipeline.recorded_model import find_recorded_model
from pipeline.verification.findings import Finding
from pipeline.verification.sample import Sample
from pipeline.verification.walk import Verified, read_all, verify
from transforms import storage
from transforms.errors import ConfigurationError
from transforms.esm.model import EsmModelHandler, ModelConfig
from transforms.output.holders import Holder, read_holders, state_of
from transforms.text import counted, printable

_ADVICE = """\
A .pt that is damaged or stale is written again by the next run once it is deleted. What differs
in embeddings/, dead_letters/ or commits/ has to be put back from a copy, or --overwrite makes it
anew."""


@dataclass(frozen=True)
class VerifyConfig:
    """What is to be verified, and how.

    Attributes:
        output: The output root.
        sample: How many vectors are computed again.
        seed: What draws them; None for anything.
        model: Where the model is now; None for where it was.
        device: Where it runs.
        most: Findings of one kind that are told.
    """

    output: str
    sample: int = 16
    seed: int | None = None
    model: str | None = None
    device: str = "auto"
    most: int = 10


@dataclass
class Findings:
    """Sentences by kind, at most so many of each."""

    most: int
    counts: Counter[str] = field(default_factory=Counter)
    shown: dict[str, list[str]] = field(default_factory=dict)

    def add(self, finding: Finding) -> None:
        """Counts a finding, and keeps its sentence unless there are enough of its kind."""
        self.counts[finding.kind] += 1
        shown = self.shown.setdefault(finding.kind, [])
        if len(shown) < self.most:
            shown.append(finding.message)

    def lines(self) -> list[str]:
        """Returns what a person reads."""
        lines = []
        for kind, shown in self.shown.items():
            lines += [f"  {kind}: {printable(message)}" for message in shown]
            if more := self.counts[kind] - len(shown):
                lines.append(f"  {kind}: and {more:,} more")
        return lines

    def as_json(self) -> list[dict[str, Any]]:
        """Returns what a program reads."""
        return [
            {"kind": kind, "count": self.counts[kind], "messages": shown}
            for kind, shown in self.shown.items()
        ]


@dataclass
class Result:
    """What came of a verification.

    Attributes:
        root: The output.
        seed: What drew the sample.
        faults: What differs.
        remarks: What could not be checked, or what the next run mends.
        rows: Rows that are committed.
        parts: The parts in which they lie.
        files: Finished files.
        sampled: Vectors that were computed again.
    """

    root: str
    seed: int
    faults: Findings
    remarks: Findings
    rows: int = 0
    parts: int = 0
    files: int = 0
    sampled: int = 0

    def in_words(self) -> list[str]:
        """Returns the lines that a person reads."""
        counts = f"{_number(self.rows, 'row')} in {_number(self.parts, 'part')}, "
        counts += _number(self.files, "finished file")
        total = sum(self.faults.counts.values())
        if not total:
            lines = [f"{counts}: everything agrees."]
        else:
            lines = [f"{counts}: {_number(total, 'difference')}:", *self.faults.lines(), _ADVICE]
        if self.sampled:
            computed = f"{_number(self.sampled, 'vector')} computed again"
            lines.append(f"{computed}, drawn at random; --seed {self.seed} draws the same ones.")
        if self.remarks.counts:
            lines += ["Not checked, or left for the next run:", *self.remarks.lines()]
        return lines

    def as_json(self) -> str:
        """Returns what a program reads."""
        return json.dumps(
            {
                "output": self.root,
                "agrees": not self.faults.counts,
                "rows": self.rows,
                "parts": self.parts,
                "files": self.files,
                "sampled": self.sampled,
                "seed": self.seed,
                "differences": self.faults.as_json(),
                "remarks": self.remarks.as_json(),
            },
            indent=1,
        )


def _number(count: int, thing: str) -> str:
    return counted(count, thing) or f"0 {thing}s"


def verify_output(config: VerifyConfig) -> Result:
    """Verifies an output; changes nothing in it.

    Raises:
        ConfigurationError: It cannot be verified; the message says why.
        OSError: It cannot be read at all.
    """
    root = storage.absolute(config.output)
    configuration = read_recorded(root)
    runs = _check_idle(root)
    seed = random.randrange(1 << 32) if config.seed is None else config.seed
    result = Result(root, seed, Findings(config.most), Findings(config.most))
    committed = read_all(root)
    if isinstance(committed, Finding):
        result.faults.add(committed)
    else:
        output = Verified(root, configuration, committed, REPORT)
        sample = Sample(config.sample if output.rows else 0, seed)
        model = _find_model(config, configuration) if sample.size else None
        for finding in verify(output, sample, model):
            (result.faults if finding.is_fault else result.remarks).add(finding)
        result.rows, result.parts = output.rows, len(committed.parts)
        result.files, result.sampled = len(committed.files), len(sample.drawn)
    if _check_idle(root) != runs:
        raise ConfigurationError(f"A run was at work in {root} meanwhile. Verify it again.")
    return result


def _check_idle(root: str) -> list[Holder]:
    """Makes sure that no run is at work, whose files come and go.

    Returns:
        The runs that were.

    Raises:
        ConfigurationError: One is.
    """
    holders = read_holders(root)
    for holder in holders:
        if state_of(holder) in ("alive", "silent"):
            raise ConfigurationError(f"A run is at work in {root} ({holder}). Wait for its end.")
    return holders


def _find_model(config: VerifyConfig, configuration: Mapping[str, Any]) -> ModelConfig:
    """Returns the model of an output, in the precision that others are measured by.

    Raises:
        ConfigurationError: It cannot be had.
    """
    advice = "Give --model the place where it is now, or --sample 0 to compute nothing again."
    model = find_recorded_model(configuration, config.model, config.device, "float32", advice)
    # Kept in this process: weights that cannot be loaded show before all is read.
    EsmModelHandler(model).load_model()
    return model
