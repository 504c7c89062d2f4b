"""How soon after a file is closed its ``.pt`` is on disk, in a folder that is watched.

Starts ``python -m pipeline --watch`` with the demo model on an empty folder and drops one file
after the other into it, each when the one before is done and at a random moment between two looks.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from benchmarks.keeping import Kept
from benchmarks.mixes import REPO, read_sequences, shuffled
from pipeline.option_groups.values import positive

MAX_RECORDS = 50
_LONGEST_WAIT = 600.0  # seconds, of a machine that has other work
_TICK = 0.01


def measure(folder: Path, files: int, poll_seconds: float, options: list[str]) -> list[float]:
    """Drops files and returns for each the seconds from its closing to its ``.pt``.

    Raises:
        RuntimeError: The watch has ended, or a ``.pt`` does not come.
    """
    inputs, output = folder / "incoming", folder / "out"
    inputs.mkdir()
    command = [
        sys.executable, "-m", "pipeline", "--watch", "--input", str(inputs), "--output",
        str(output), "--model", "demo", "--poll_seconds", str(poll_seconds), "--quiet",
    ]  # fmt: skip
    draw = random.Random(0)
    records = shuffled(cycle(read_sequences()))
    process = subprocess.Popen([*command, *options], cwd=REPO)
    seconds = []
    try:
        for number in range(files + 1):
            some = enumerate(islice(records, draw.randint(1, MAX_RECORDS)))
            text = "".join(f">f{number}_{record}\n{sequence}\n" for record, sequence in some)
            time.sleep(draw.uniform(0, poll_seconds))
            (inputs / f"f{number}.faa").write_text(text)
            closed = time.perf_counter()
            pt = output / "pt" / f"f{number}_ESM.pt"
            while not pt.exists():
                if process.poll() is not None or time.perf_counter() - closed > _LONGEST_WAIT:
                    raise RuntimeError(f"{pt.name} does not come")
                time.sleep(_TICK)
            seconds.append(time.perf_counter() - closed)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
    return seconds[1:]  # the first file waits for the model


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this benchmark."""
    add = parser.add_argument
    add("--files", type=positive, default=200, help="(%(default)s)")
    add("--poll_seconds", type=float, default=1, help="(%(default)s)")
    add("--with", dest="further", nargs=argparse.REMAINDER, default=[], metavar="OPTION",
        help="all that follows is for the watch, e.g. --with --runner PrismRunner")  # fmt: skip


def run(options: argparse.Namespace, kept: Kept) -> int:
    """Measures and prints."""
    with tempfile.TemporaryDirectory(prefix="latency-") as folder:
        seconds = measure(Path(folder), options.files, options.poll_seconds, options.further)
    median, late = (round(float(each), 2) for each in np.percentile(seconds, [50, 99]))
    most = round(max(seconds), 2)
    kept.keep({"median": median, "p99": late, "most": most})
    print(f"median {median} s, 99 % within {late} s, at the most {most} s")
    return 0
