"""Whether peak memory grows with the input: runs of two sizes, whole and carried on.

Embeds an input of each size with the demo model, and watches the memory of all processes of the
run: of a first run and of one that takes the work up after a kill at its very end. The last line is
the ratio of the peak of the last size to that of the first, for both. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.keeping import Kept
from benchmarks.mixes import REPO, read_sequences, write_random
from pipeline.option_groups.values import positive

MANY_RECORDS = 1000  # of each file, with --layout many
SECONDS_BETWEEN_LOOKS = 0.2


@dataclass(frozen=True)
class Peak:
    """Peak memory of a run, in MB.

    Attributes:
        rss: Highest sum over its processes of what each has in memory.
        pss: The same with what several of them share counted once.
        largest: What the kernel remembers of the largest process: a peak between two looks too.
        looks: How often they were looked at.
    """

    rss: float = 0.0
    pss: float = 0.0
    largest: float = 0.0
    looks: int = 0


def watch(process: subprocess.Popen[bytes]) -> Peak:
    """Watches a process and all that descend from it until it ends."""
    peak = Peak()
    while process.poll() is None:
        family = find_family(process.pid)
        peak = Peak(
            rss=max(peak.rss, sum(read_megabytes(pid, "status", "VmRSS:") for pid in family)),
            pss=max(peak.pss, sum(read_megabytes(pid, "smaps_rollup", "Pss:") for pid in family)),
            largest=max(peak.largest, *(read_megabytes(pid, "status", "VmHWM:") for pid in family)),
            looks=peak.looks + 1,
        )
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return peak


def find_family(pid: int) -> list[int]:
    """Returns a process and all that descend from it."""
    parents = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                stat = Path(entry.path, "stat").read_text()
            except OSError:  # it has just ended
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    family = [pid]
    for member in family:
        family += [child for child, parent in parents.items() if parent == member]
    return family


def read_megabytes(pid: int, file: str, field: str) -> float:
    """Returns a value of a file in ``/proc``; 0 for a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(field)), 0.0)


def embed(folder: Path) -> dict[str, Any]:
    """Embeds the input that lies in a folder and returns what that took."""
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "--input", str(folder / "in"), "--quiet"]
        + ["--output", str(folder / "out"), "--model", "demo", "--device", "cpu"],
        cwd=REPO,
    )
    peak = watch(process)
    # 3: the source holds records that cannot be embedded.
    if process.returncode not in (0, 3):
        raise SystemExit(f"A run ended with code {process.returncode}.")
    return {
        "seconds": round(time.monotonic() - start, 1),
        "exit_code": process.returncode,
        "peak_mb": {name: round(value, 1) for name, value in asdict(peak).items()},
    }


def forget_files(output: Path) -> None:
    """Leaves an output as a kill does when all parts are written and no file is finished."""
    for record in (output / "commits").glob("files-*.json"):
        record.unlink()
    shutil.rmtree(output / "pt")


def measure(folder: Path, sequences: list[str], count: int, per_file: int) -> dict[str, Any]:
    """Makes an input, embeds it, takes it up again as after a kill, and returns what that took."""
    residues = write_random(folder / "in", sequences, count, per_file)
    first = embed(folder)
    forget_files(folder / "out")
    return {"records": count, "residues": residues, "first": first, "again": embed(folder)}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this benchmark."""
    add = parser.add_argument
    add("--records", type=positive, nargs="+", default=[20_000, 200_000], help="sizes, ascending")
    add("--layout", choices=("one", "many"), default="many", help="one file, or 1,000 a file")
    add("--shorten", type=positive, metavar="N", help="cut sequences to N residues, to save time")


def run(options: argparse.Namespace, kept: Kept) -> int:
    """Measures each size."""
    sequences = [sequence[: options.shorten] for sequence in read_sequences()]
    runs = []
    for count in options.records:
        per_file = count if options.layout == "one" else MANY_RECORDS
        with tempfile.TemporaryDirectory(prefix="memory-") as folder:
            runs.append(measure(Path(folder), sequences, count, per_file))
        print(json.dumps(runs[-1]), flush=True)
        ratios = {
            which: round(runs[-1][which]["peak_mb"]["rss"] / runs[0][which]["peak_mb"]["rss"], 3)
            for which in ("first", "again")
        }
        kept.keep({"runs": runs, "ratios": ratios})
    print(f"Ratios {ratios}.")
    return 0
