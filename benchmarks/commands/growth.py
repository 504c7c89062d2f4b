"""Whether time grows with residues that are new: four times the input, and each sequence twice."""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from benchmarks.entries import OURS
from benchmarks.keeping import Kept
from benchmarks.measure import Job, run_job
from benchmarks.mixes import choose_warm_up, draw_large, shuffled, write_fasta
from benchmarks.settings import add_settings, make_setting
from pipeline.option_groups.values import positive

TIMES = 4


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this benchmark."""
    add_settings(parser)
    add = parser.add_argument
    add("--records", type=positive, default=200, help="of the single input (%(default)s)")
    add("--rounds", type=positive, default=3, help="times each is measured (%(default)s)")


def run(options: argparse.Namespace, kept: Kept) -> int:
    """Measures the pipeline on an input, on four times as much, and on the input twice over."""
    single = draw_large(options.records)
    others = [sequence for seed in range(1, TIMES) for sequence in shuffled(single, seed)]
    inputs = {"single": single, "times_4": single + others, "twice": single * 2}
    seconds: dict[str, list[float]] = {name: [] for name in inputs}
    with tempfile.TemporaryDirectory(prefix="growth-") as folder:
        setting = make_setting(options, Path(folder))
        warm_up = write_fasta(Path(folder, "warm_up.fasta"), choose_warm_up(single))
        jobs = {
            name: Job(OURS, setting, write_fasta(Path(folder, name), sequences), warm_up)
            for name, sequences in inputs.items()
        }
        for _ in range(options.rounds):
            for name, job in jobs.items():
                result = run_job(job)
                if "failure" in result:
                    raise SystemExit(result["failure"])
                seconds[name].append(result["runs"][0]["seconds"])
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    ratios = {name: round(medians[name] / medians["single"], 3) for name in ("times_4", "twice")}
    kept.keep({"seconds": seconds, "ratios": ratios})
    print(
        f"{TIMES} x the input takes {ratios['times_4']} x the time; "
        f"every sequence twice takes {ratios['twice']} x."
    )
    return 0
