"""A GPU that is lent for minutes: every program in one process, slow ones on fewer records.

``peers`` starts a process for each program and round, which with a large model takes longer than
the measuring. Here each is loaded once, runs once on each input, and the result is written after
each, so that what has been measured is not lost with the machine.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.ceiling import measure_ceiling, measure_sustained
from benchmarks.compare import choose_warm_up
from benchmarks.entries import ENTRIES, OURS, REFERENCE
from benchmarks.machine import RESULTS, count_cores, describe
from benchmarks.measure import time_run
from benchmarks.mixes import MIXES, cut, write_fasta
from benchmarks.peer import Passes, Setting, Vectors
from benchmarks.quality import compare
from benchmarks.report import describe_gpu
from benchmarks.weights import SHAPES, Shape, write_checkpoint

# What each is measured on, as a share of the records: about ten seconds of a fast GPU.
_PLAN: tuple[tuple[str, int | None, float], ...] = (
    ("ours", None, 1),
    ("ours-handler", None, 0.5),
    ("script", None, 0.075),
    ("fastplms-tuned", 16_384, 0.075),
    ("fastplms-default", None, 0.02),
    ("transformers-padded", 16_384, 0.075),
    ("fastplms-tuned", 65_536, 0.075),
    ("fair-esm", 16_384, 0.075),
)
_RECORDS = {"large": 19_789, "short": 40_000}
_REFERENCES = 50


def add_device(commands: Any) -> None:
    """Adds the subcommand ``device``."""
    parser = commands.add_parser("device", help="all of it within some minutes of a GPU")
    add = parser.add_argument
    add("--device", choices=("cpu", "cuda"), default="cuda")
    add("--shape", choices=tuple(SHAPES), default="650M", help="of the model (%(default)s)")
    add("--dtype", choices=("float32", "float16", "bfloat16"), default="bfloat16")
    add("--share", type=float, default=1.0, help="of the records (%(default)s)")
    add("--fastplms", type=Path, metavar="DIR", help="a checkout of github.com/Synthyra/FastPLMs")
    add("--output", type=Path, metavar="FILE", help="where the JSON goes (benchmarks/results)")
    parser.set_defaults(run=run_device)


def run_device(options: argparse.Namespace) -> int:
    """Measures, and writes what there is after each program."""
    shape = SHAPES[options.shape]
    now = datetime.now(UTC)
    path = options.output or RESULTS / f"device-{now.date()}-{options.shape}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {
        "time": now.isoformat(timespec="seconds"),
        "machine": describe() | describe_gpu(options.device),
        "shape": options.shape,
        "dtype": options.dtype,
        "ceiling_flops_per_second": measure_ceiling(options.device, options.dtype, count_cores()),
        "runs": [],
    }
    if options.device == "cuda":
        result["sustained_flops_per_second"] = measure_sustained(options.dtype)
    with tempfile.TemporaryDirectory(prefix="device-") as name:
        folder = Path(name)
        checkpoint = write_checkpoint(folder / "checkpoint", shape, device=options.device)
        setting = Setting(
            checkpoint=checkpoint,
            work=folder,
            device=options.device,
            dtype=options.dtype,
            threads=count_cores(),
            fastplms=options.fastplms.resolve() if options.fastplms else None,
        )
        mixes = {mix: MIXES[mix](max(60, int(_RECORDS[mix] * options.share))) for mix in MIXES}
        references = {mix: _embed_references(setting, drawn) for mix, drawn in mixes.items()}
        for entry, budget, share in _PLAN:
            for run in _measure(entry, budget, share, setting, mixes, references, result, shape):
                result["runs"].append(run)
                path.write_text(json.dumps(result, indent=1) + "\n")
                print(format_runs(result, [run])[-1], file=sys.stderr, flush=True)
    print("\n".join(format_runs(result, result["runs"])))
    return 0


def format_runs(result: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the lines of a Markdown table.

    Args:
        result: What :func:`run_device` writes.
        runs: Those of its runs that are wanted.
    """
    ours = {run["mix"]: run for run in result["runs"] if run["entry"] == OURS and "mix" in run}
    lines = [
        "| how | budget | input | records | residues/s | to ours | in the model | of the ceiling, "
        "all / unique residues | of the sustained | worst difference | least cosine |",
        "|" + " --- |" * 11,
    ]
    for run in runs:
        label, budget = ENTRIES[run["entry"]].label, run["budget"] or "default"
        if failure := run.get("failure"):
            lines.append(f"| {label} | {budget} | {failure} |" + " |" * 8)
            continue
        speed = run["residues_per_second"]
        ceiling, sustained = (
            " / ".join(
                f"{run[f'share_of_{name}{kind}']:.1%}" if f"share_of_{name}" in run else "-"
                for kind in ("", "_unique")
            )
            for name in ("ceiling", "sustained")
        )
        lines.append(
            f"| {label} | {budget} | {run['mix']} | {run['records']:,} | {speed:,.0f} "
            f"| {speed / ours[run['mix']]['residues_per_second']:.3f} "
            f"| {run['forward_seconds'] / run['seconds']:.1%} | {ceiling} | {sustained} "
            f"| {run['worst_difference']:.1e} | {run['least_cosine']:.6f} |"
        )
    return lines


def _embed_references(setting: Setting, sequences: Sequence[str]) -> Vectors:
    """Returns float32 vectors of the first records, eager, one by one."""
    fasta = write_fasta(setting.work / "references.fasta", sequences[:_REFERENCES])
    reference = REFERENCE.load(replace(setting, dtype="float32", passes=Passes()))
    return reference.collect(reference.embed(fasta))


def _measure(
    entry: str,
    budget: int | None,
    share: float,
    setting: Setting,
    mixes: dict[str, list[str]],
    references: dict[str, Vectors],
    facts: dict[str, Any],
    shape: Shape,
) -> Any:
    """Yields what was measured of an entry on each input, or why it was not."""
    from transforms.esm.loaded import MODELS

    what = {"entry": entry, "budget": budget}
    setting = replace(setting, budget=budget, passes=Passes())
    try:
        peer = ENTRIES[entry].load(setting)
        for mix, drawn in mixes.items():
            sequences = drawn[: max(_REFERENCES, int(len(drawn) * share))]
            warm_up = write_fasta(setting.work / "warm_up.fasta", choose_warm_up(sequences))
            fasta = write_fasta(setting.work / f"{mix}.fasta", sequences)
            peer.embed(warm_up)
            MODELS.forget()  # as if it were the first run of its process
            run, vectors = time_run(peer, setting, fasta)
            yield what | {
                "mix": mix,
                "records": len(sequences),
                **run,
                "padding": 1 - run["tokens"] / run["slots"],
                **_shares(sequences, run["seconds"], facts, shape),
                **compare(vectors, references[mix]),
            }
            del vectors
    except Exception as error:  # whatever a program fails with is its result
        yield what | {"failure": f"{type(error).__name__}: {error}"[:300]}
    gc.collect()
    if setting.device == "cuda":
        import torch

        torch.cuda.empty_cache()


def _shares(
    sequences: Sequence[str], seconds: float, facts: dict[str, Any], shape: Shape
) -> dict[str, float]:
    lengths = [len(sequence) for sequence in cut(sequences)]
    unique = shape.count_flops(len(sequence) for sequence in set(cut(sequences))) / seconds
    every = shape.count_flops(lengths) / seconds
    shares = {"residues_per_second": sum(lengths) / seconds}
    for ceiling in ("ceiling", "sustained"):
        if flops := facts.get(f"{ceiling}_flops_per_second"):
            shares[f"share_of_{ceiling}"] = every / flops
            shares[f"share_of_{ceiling}_unique"] = unique / flops
    return shares
