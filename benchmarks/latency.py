"""How soon after a file is closed its ``.pt`` is on disk, in a folder that is watched.

    python -m benchmarks.latency --files 200 --poll_seconds 1

starts ``python -m pipeline --watch`` with the demo model on an empty folder, drops one file after
the other into it, each when the one before is done and at a random moment between two looks, and
adds what it saw to ``benchmarks/results/latency-<date>.json``. Further options are those of the
pipeline, e.g. ``--runner``.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.machine import add_result
from benchmarks.memory import make_records
from benchmarks.mixes import REPO, SOURCE, read_sequences

MAX_RECORDS = 50
_LONGEST_WAIT = 120.0  # seconds
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
    records = make_records(read_sequences(SOURCE if SOURCE.exists() else None), None)
    process = subprocess.Popen([*command, *options], cwd=REPO)
    seconds = []
    try:
        for number in range(files + 1):
            text = "".join(record for record, _ in islice(records, draw.randint(1, MAX_RECORDS)))
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


def main() -> None:
    """Measures, prints and keeps what was seen."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--poll_seconds", type=float, default=1)
    ours, others = parser.parse_known_args()
    with tempfile.TemporaryDirectory(prefix="latency-") as folder:
        seconds = measure(Path(folder), ours.files, ours.poll_seconds, others)
    median, late = (round(float(each), 2) for each in np.percentile(seconds, [50, 99]))
    result = {
        "files": ours.files,
        "poll_seconds": ours.poll_seconds,
        "options": others,
        "median": median,
        "p99": late,
        "most": round(max(seconds), 2),
    }
    print(f"median {median} s, 99 % within {late} s, at the most {result['most']} s")
    print(f"See {add_result('latency', result).relative_to(REPO)}.")


if __name__ == "__main__":
    main()
