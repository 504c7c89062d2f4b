"""All programs on one input, in interleaved rounds."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.ceiling import run_ceiling
from benchmarks.entries import ENTRIES, OURS, REFERENCE
from benchmarks.measure import Job, run_job
from benchmarks.mixes import MIXES, choose_warm_up, write_fasta
from benchmarks.peer import Setting, Vectors
from benchmarks.quality import compare, read_vectors
from benchmarks.summary import add_ratios, describe_input, summarise
from benchmarks.weights import SHAPES

REFERENCE_RECORDS = 50
TRIES = 2  # of each budget


@dataclass
class _Outcome:
    """What became of an entry.

    Attributes:
        budget: Tokens of a pass; None for its own default.
        tried: Seconds for each budget that was tried, or why it cannot be run.
        rounds: What was measured.
        failure: Why it was not, or not in every round; None for no failure.
        versions: Of its packages.
        summary: What follows from its rounds; None for no round.
    """

    budget: int | None = None
    tried: dict[str, float | str] = field(default_factory=dict)
    rounds: list[dict[str, Any]] = field(default_factory=list)
    failure: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    summary: dict[str, Any] | None = None


def compare_mix(mix: str, options: argparse.Namespace, setting: Setting) -> dict[str, Any]:
    """Measures every entry on an input.

    Args:
        mix: Name of the input.
        options: Of the command ``peers``.
        setting: How programs are run; inputs and vectors go into its folder.

    Returns:
        What the input is, the ceilings, and each entry's rounds with what follows from them.
    """
    sequences, folder = MIXES[mix](options.records), setting.work
    job = Job(
        entry=REFERENCE,
        setting=setting,
        fasta=write_fasta(folder / f"{mix}.fasta", sequences),
        warm_up=write_fasta(folder / "warm_up.fasta", choose_warm_up(sequences)),
    )
    references = _embed_references(job, sequences)
    outcomes = {name: _Outcome() for name in options.only}
    tuned_on = sequences[: options.tuning_records or None]
    tuning = write_fasta(folder / "tuning.fasta", tuned_on)
    for name, outcome in outcomes.items():
        _tune(name, outcome, replace(job, fasta=tuning), options)
    ceilings = []
    for number in range(options.rounds):
        ceilings.append(run_ceiling(setting.device, setting.dtype, setting.threads))
        # Each round begins elsewhere, so that nobody is always first after a pause.
        for name in [*options.only[number:], *options.only[:number]]:
            _run_round(name, outcomes[name], job, references)
    facts = describe_input(sequences, SHAPES[options.shape], {"ceiling": ceilings})
    entries = {name: vars(outcome) for name, outcome in outcomes.items()}
    for entry in entries.values():
        entry["summary"] = summarise(entry["rounds"], facts)
    for entry in entries.values():
        add_ratios(entry["summary"], entries.get(OURS, {}).get("summary"))
    return facts | {"tuning_records": len(tuned_on), "ceilings": ceilings, "entries": entries}


def _embed_references(job: Job, sequences: Sequence[str]) -> Vectors:
    """Returns float32 vectors of some records, by the plainest way: eager, one by one."""
    chosen = range(0, len(sequences), max(1, len(sequences) // REFERENCE_RECORDS))
    folder = job.setting.work
    some = write_fasta(folder / "some.fasta", [sequences[index] for index in chosen])
    path = folder / "references.npz"
    setting = replace(job.setting, dtype="float32")
    result = run_job(replace(job, setting=setting, fasta=some, vectors=path))
    if failure := result.get("failure"):
        raise SystemExit(f"There is no reference to compare with: {failure}")
    # In the order of the file, but under the ids of the whole input.
    vectors = read_vectors(path).values()
    return {f"protein_{i:05d}": v for i, v in zip(chosen, vectors, strict=True)}


def _tune(name: str, outcome: _Outcome, job: Job, options: argparse.Namespace) -> None:
    """Finds the budget of an entry that has none of its own."""
    budgets = ENTRIES[name].budgets(options.device)
    if not budgets:
        outcome.budget = options.toks_per_batch if name.startswith(OURS) else None
        return
    _say(f"{name}: trying budgets")
    # Each is tried again after all the others, and the better time counts: what else the machine
    # does for a while must not choose.
    result = run_job(replace(job, entry=name, budgets=budgets * TRIES))
    if failure := result.get("failure"):
        outcome.failure = failure
        return
    for run in sorted(result["runs"], key=lambda run: -run["seconds"]):
        outcome.tried[str(run["budget"])] = run["seconds"]
    outcome.tried |= result["failures"]
    outcome.budget = min(result["runs"], key=lambda run: run["seconds"])["budget"]


def _run_round(name: str, outcome: _Outcome, job: Job, references: Vectors) -> None:
    if outcome.failure is not None:
        return
    path = job.setting.work / f"{name}.npz"
    path.unlink(missing_ok=True)
    result = run_job(replace(job, entry=name, budgets=[outcome.budget], vectors=path))
    outcome.failure = result.get("failure")
    if outcome.failure is None:
        (run,) = result["runs"]
        outcome.versions = result["versions"]
        outcome.rounds.append(run | compare(read_vectors(path), references))
        _say(f"{name}: {run['seconds']:.1f} s")
    else:
        _say(f"{name}: {outcome.failure}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
