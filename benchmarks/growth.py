"""Whether the time of a run grows with the residues that are new, and with nothing else."""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compare import choose_warm_up
from benchmarks.entries import OURS
from benchmarks.machine import add_result, count_cores
from benchmarks.measure import Job, run_job
from benchmarks.mixes import draw_large, write_fasta
from benchmarks.weights import SHAPES, write_checkpoint

TIMES = 4


def add_growth(commands: Any) -> None:
    """Adds the subcommand ``growth``."""
    parser = commands.add_parser("growth", help="what four times the input takes, and duplicates")
    add = parser.add_argument
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--shape", choices=tuple(SHAPES), default="8M", help="of the model (%(default)s)")
    add("--records", type=int, default=200, help="of the single input (%(default)s)")
    add("--rounds", type=int, default=3, help="times each is measured (%(default)s)")
    add("--threads", type=int, default=count_cores(), help="of the CPU (%(default)s)")
    parser.set_defaults(run=run_growth)


def run_growth(options: argparse.Namespace) -> int:
    """Measures the pipeline on an input, on four times as much, and on the input twice over."""
    single = draw_large(options.records)
    inputs = {
        "single": single,
        "times_4": [s for seed in range(TIMES) for s in shuffle_residues(single, seed)],
        "twice": [*single, *single],
    }
    seconds: dict[str, list[float]] = {name: [] for name in inputs}
    with tempfile.TemporaryDirectory(prefix="growth-") as folder:
        checkpoint = write_checkpoint(Path(folder, "checkpoint"), SHAPES[options.shape])
        warm_up = write_fasta(Path(folder, "warm_up.fasta"), choose_warm_up(single))
        for name, sequences in inputs.items():
            write_fasta(Path(folder, name), sequences)
        for _ in range(options.rounds):
            for name in inputs:
                job = Job(
                    entry=OURS,
                    checkpoint=str(checkpoint),
                    fasta=str(Path(folder, name)),
                    warm_up=str(warm_up),
                    vectors=None,
                    device=options.device,
                    dtype="float32" if options.device == "cpu" else "float16",
                    threads=options.threads,
                )
                result = run_job(job)
                if "failure" in result:
                    raise SystemExit(result["failure"])
                seconds[name].append(result["runs"][0]["seconds"])
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    ratios = {name: round(medians[name] / medians["single"], 3) for name in ("times_4", "twice")}
    result = vars(options) | {"seconds": seconds, "ratios": ratios}
    result.pop("run")
    path = add_result("growth", result)
    print(
        f"4 x the input takes {ratios['times_4']} x the time; every sequence twice takes ", end=""
    )
    print(f"{ratios['twice']} x. See {path.name}.")
    return 0


def shuffle_residues(sequences: Sequence[str], seed: int) -> list[str]:
    """Returns sequences of the same lengths and composition; those given themselves for seed 0."""
    if seed == 0:
        return list(sequences)
    rng = np.random.default_rng(seed)
    arrays = (np.frombuffer(sequence.encode(), np.uint8) for sequence in sequences)
    return [rng.permutation(array).tobytes().decode() for array in arrays]
