"""All programs on one input, in interleaved rounds."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.ceiling import run_ceiling
from benchmarks.entries import ENTRIES, OURS
from benchmarks.measure import Job, run_job
from benchmarks.mixes import MIXES, cut, write_fasta
from benchmarks.peer import Vectors
from benchmarks.quality import compare, read_vectors
from benchmarks.weights import Shape

WARM_UP_RECORDS = 8
REFERENCE_RECORDS = 50
TRIES = 2  # of each budget

_RATIOS = {
    "ratio_to_ours": "residues_per_second",
    "ratio_by_cpu_time": "residues_per_cpu_second",
}


@dataclass(frozen=True)
class Settings:
    """What is compared, and how.

    Attributes:
        names: Entries, in the order of tables.
        shape: Of the model.
        device: ``cpu`` or ``cuda``.
        dtype: ``float32``, ``float16`` or ``bfloat16``.
        threads: Threads of the CPU, for each entry.
        records: Records of an input.
        tuning_records: How many of them budgets are tried on.
        rounds: How often each entry is measured.
        budget: Tokens of a pass of ours; None for our default.
        fastplms: A checkout of FastPLMs.
        pythons: Interpreters of entries that need one of their own.
    """

    names: Sequence[str]
    shape: Shape
    device: str
    dtype: str
    threads: int
    records: int
    tuning_records: int
    rounds: int
    budget: int | None = None
    fastplms: Path | None = None
    pythons: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Outcome:
    """What became of an entry.

    Attributes:
        budget: Tokens of a pass; None for its own default.
        tried: Seconds for each budget that was tried, or why it cannot be run.
        rounds: What was measured.
        failure: Why it was not, or not in every round; None for no failure.
        versions: Of its packages.
    """

    budget: int | None = None
    tried: dict[str, float | str] = field(default_factory=dict)
    rounds: list[dict[str, Any]] = field(default_factory=list)
    failure: str | None = None
    versions: dict[str, str] = field(default_factory=dict)


def compare_mix(mix: str, settings: Settings, checkpoint: Path, folder: Path) -> dict[str, Any]:
    """Measures every entry on an input.

    Args:
        mix: Name of the input.
        settings: What is compared, and how.
        checkpoint: The weights.
        folder: An empty folder for inputs and vectors.

    Returns:
        What the input is, the ceiling, and each entry's rounds with what follows from them.
    """
    sequences = MIXES[mix](settings.records)
    job = Job(
        entry="reference",
        checkpoint=str(checkpoint),
        fasta=str(write_fasta(folder / f"{mix}.fasta", sequences)),
        warm_up=str(write_fasta(folder / "warm_up.fasta", choose_warm_up(sequences))),
        vectors=None,
        device=settings.device,
        dtype=settings.dtype,
        threads=settings.threads,
        fastplms=str(settings.fastplms) if settings.fastplms else None,
    )
    references = _embed_references(job, sequences, folder)
    outcomes = {name: _Outcome() for name in settings.names}
    tuning = write_fasta(folder / "tuning.fasta", sequences[: settings.tuning_records])
    for name, outcome in outcomes.items():
        _tune(name, outcome, replace(job, fasta=str(tuning)), settings)
    ceilings = []
    for number in range(settings.rounds):
        ceilings.append(run_ceiling(settings.device, settings.dtype, settings.threads))
        # Each round begins elsewhere, so that nobody is always first after a pause.
        order = [*settings.names[number:], *settings.names[:number]]
        for name in order:
            _run_round(name, outcomes[name], job, settings, references, folder)
    summary = _summarise(sequences, outcomes, ceilings, settings.shape)
    return {"tuning_records": settings.tuning_records} | summary


def choose_warm_up(sequences: Sequence[str]) -> list[str]:
    """Returns sequences of an input's lengths that are not in it: no vector is known from them."""
    chosen = sequences[:: max(1, len(sequences) // WARM_UP_RECORDS)][:WARM_UP_RECORDS]
    return [sequence[::-1] for sequence in chosen]


def _embed_references(job: Job, sequences: Sequence[str], folder: Path) -> Vectors:
    """Returns float32 vectors of some records, by the plainest way: eager, one by one."""
    chosen = range(0, len(sequences), max(1, len(sequences) // REFERENCE_RECORDS))
    some = write_fasta(folder / "some.fasta", [sequences[index] for index in chosen])
    path = folder / "references.npz"
    result = run_job(replace(job, fasta=str(some), vectors=str(path), dtype="float32"))
    if failure := result.get("failure"):
        raise SystemExit(f"There is no reference to compare with: {failure}")
    # In the order of the file, but under the ids of the whole input.
    vectors = read_vectors(path).values()
    return {f"protein_{i:05d}": v for i, v in zip(chosen, vectors, strict=True)}


def _tune(name: str, outcome: _Outcome, job: Job, settings: Settings) -> None:
    """Finds the budget of an entry that has none of its own."""
    budgets = ENTRIES[name].budgets(settings.device)
    if not budgets:
        outcome.budget = settings.budget if name.startswith(OURS) else None
        return
    _say(f"{name}: trying budgets")
    # Each is tried again after all the others, and the better time counts: what else the machine
    # does for a while must not choose.
    job = replace(job, entry=name, budgets=budgets * TRIES)
    result = run_job(job, _python(name, settings))
    if failure := result.get("failure"):
        outcome.failure = failure
        return
    for run in sorted(result["runs"], key=lambda run: -run["seconds"]):
        outcome.tried[str(run["budget"])] = run["seconds"]
    outcome.tried |= result["failures"]
    outcome.budget = min(result["runs"], key=lambda run: run["seconds"])["budget"]


def _run_round(
    name: str,
    outcome: _Outcome,
    job: Job,
    settings: Settings,
    references: Vectors,
    folder: Path,
) -> None:
    if outcome.failure is not None:
        return
    path = folder / f"{name}.npz"
    path.unlink(missing_ok=True)
    job = replace(job, entry=name, budgets=[outcome.budget], vectors=str(path))
    result = run_job(job, _python(name, settings))
    outcome.failure = result.get("failure")
    if outcome.failure is None:
        (run,) = result["runs"]
        outcome.versions = result["versions"]
        outcome.rounds.append(run | compare(read_vectors(path), references))
        _say(f"{name}: {run['seconds']:.1f} s")
    else:
        _say(f"{name}: {outcome.failure}")


def _python(name: str, settings: Settings) -> str:
    return settings.pythons.get(name, sys.executable)


def _summarise(
    sequences: Sequence[str],
    outcomes: Mapping[str, _Outcome],
    ceilings: Sequence[float],
    shape: Shape,
) -> dict[str, Any]:
    lengths = [len(sequence) for sequence in cut(sequences)]
    unique = [len(sequence) for sequence in set(cut(sequences))]
    facts = {
        "records": len(sequences),
        "residues": sum(lengths),
        "unique_residues": sum(unique),
        "flops": shape.count_flops(lengths),
        "unique_flops": shape.count_flops(unique),
        "ceiling_flops_per_second": statistics.median(ceilings),
        "ceilings": list(ceilings),
    }
    entries = {name: vars(outcome) for name, outcome in outcomes.items()}
    add_summaries(entries, facts)
    return facts | {"entries": entries}


def add_summaries(entries: Mapping[str, dict[str, Any]], facts: Mapping[str, Any]) -> None:
    """Adds to each entry what follows from its rounds, and how that compares with ours."""
    for entry in entries.values():
        entry["summary"] = summarise_rounds(entry["rounds"], facts)
    ours = entries[OURS]["summary"] if OURS in entries else None
    for entry in entries.values():
        summary = entry["summary"]
        if ours and summary:
            for ratio, speed in _RATIOS.items():
                summary[ratio] = summary[speed] / ours[speed]


def summarise_rounds(
    rounds: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Returns the medians of an entry's rounds, and the worst of its vectors; None for no round.

    Args:
        rounds: What was measured.
        facts: Of the input: ``records``, ``residues``, ``flops``, ``unique_flops`` and
            ``ceiling_flops_per_second``.
    """
    if not rounds:
        return None

    def median(name: str) -> float:
        return statistics.median(run[name] for run in rounds)

    seconds, ceiling = median("seconds"), facts["ceiling_flops_per_second"]
    cuda = [run["peak_cuda_mb"] for run in rounds if run["peak_cuda_mb"] is not None]
    return {
        "residues_per_second": facts["residues"] / seconds,
        "spread": max(run["seconds"] for run in rounds) / min(run["seconds"] for run in rounds),
        "residues_per_cpu_second": facts["residues"] / median("cpu_seconds"),
        "share_in_model": statistics.median(
            run["forward_seconds"] / run["seconds"] for run in rounds
        ),
        "padding": 1 - median("tokens") / median("slots"),
        "peak_mb": max(run["peak_mb"] for run in rounds),
        "peak_cuda_mb": max(cuda, default=None),
        "worst_difference": max(run["worst_difference"] for run in rounds),
        "least_cosine": min(run["least_cosine"] for run in rounds),
        "failures": facts["records"] - min(run["vectors"] for run in rounds),
        "share_of_ceiling": facts["flops"] / seconds / ceiling,
        "share_of_ceiling_unique": facts["unique_flops"] / seconds / ceiling,
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
