"""One program, in a process of its own: ``python -m benchmarks.measure JOB.json ANSWER.json``.

What is timed is the same for all. It begins with the weights loaded, a handful of sequences
embedded and the FASTA file on disk, and ends when all vectors are in the memory of the CPU or on
disk and the device has finished. Importing and loading are not in it; reading the file and
making tokens of it are.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.entries import ENTRIES, Entry
from benchmarks.keeping import read_versions
from benchmarks.mixes import REPO
from benchmarks.peer import Passes, Peer, Setting, Vectors
from benchmarks.quality import write_vectors

_LONGEST_MESSAGE = 300  # characters
_LONGEST_SECONDS = 3 * 3600


@dataclass(frozen=True)
class Job:
    """What a process is to measure.

    Attributes:
        entry: Name of the program.
        setting: How it is run.
        fasta: The input.
        warm_up: An input of a few sequences.
        vectors: Where the vectors go, an ``.npz`` file; None for nowhere.
        budgets: Tokens of a pass, each measured in turn; [None] for the program's default.
    """

    entry: str
    setting: Setting
    fasta: Path
    warm_up: Path
    vectors: Path | None = None
    budgets: Sequence[int | None] = (None,)


def run_job(job: Job) -> dict[str, Any]:
    """Measures in a new process.

    Returns:
        ``runs``, one for each budget, ``failures`` by budget where one cannot be run, and
        ``versions``; or ``failure``, in one line, if there is no run.
    """
    threads = str(job.setting.threads)
    environment = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    environment |= {"TRANSFORMERS_VERBOSITY": "error", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory(prefix="measure-") as folder:
        request, answer = Path(folder, "job.json"), Path(folder, "answer.json")
        request.write_text(json.dumps(asdict(job), default=str))
        try:
            process = subprocess.run(
                [sys.executable, "-m", "benchmarks.measure", str(request), str(answer)],
                cwd=REPO,
                env=os.environ | environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                timeout=_LONGEST_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return {"failure": f"was ended after {_LONGEST_SECONDS} s"}
        if answer.exists():
            result: dict[str, Any] = json.loads(answer.read_text())
            return result
    last = (process.stderr.strip().splitlines() or ["no message"])[-1]
    return {"failure": f"ended with code {process.returncode}: {last}"}


def measure(job: Job) -> dict[str, Any]:
    """Measures in this process; returns what :func:`run_job` does."""
    import torch

    entry = ENTRIES[job.entry]
    torch.set_num_threads(job.setting.threads)
    runs, failures = [], {}
    for budget in job.budgets:
        setting = replace(job.setting, budget=budget, passes=Passes())
        try:
            peer = entry.load(setting)
            run, vectors = time_run(peer, setting, job.fasta, job.warm_up)
            if job.vectors:
                write_vectors(job.vectors, vectors)
        except Exception as error:
            traceback.print_exc()
            failures[str(budget)] = in_a_line(error)
        else:
            runs.append({"budget": budget} | run)
    if not runs:
        return {"failure": next(iter(failures.values()))}
    versions = read_versions(entry.packages) | _read_commit(entry, job.setting.fastplms)
    return {"runs": runs, "failures": failures, "versions": versions}


def in_a_line(error: Exception) -> str:
    """Returns what a program fails with, whatever it is: that is its result."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:_LONGEST_MESSAGE]


def time_run(
    peer: Peer, setting: Setting, fasta: Path, warm_up: Path
) -> tuple[dict[str, Any], Vectors]:
    """Embeds a file.

    Args:
        peer: The program, loaded.
        setting: What it was loaded with.
        fasta: The file.
        warm_up: What is embedded before.

    Returns:
        Times in seconds, ``slots`` and ``tokens``, peaks of memory in megabytes, and the number
        of vectors; and the vectors.
    """
    peer.embed(warm_up)
    _finish(setting.device, is_begin=True)
    setting.passes.take()
    started, worked = time.perf_counter(), time.process_time()
    embedded = peer.embed(fasta)
    _finish(setting.device)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - worked
    peak = read_peak_megabytes()
    passes = setting.passes.take()
    vectors = peer.collect(embedded)
    run = {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "forward_seconds": passes.seconds,
        "slots": passes.slots,
        "tokens": passes.tokens,
        "peak_mb": peak,
        "peak_cuda_mb": _read_peak_cuda(setting.device),
        "vectors": len(vectors),
    }
    return run, vectors


def read_peak_megabytes() -> float:
    """Returns the most that this process has had in memory, in MB."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:  # no Linux; there the kernel counts in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    # Not ru_maxrss, in which the process that started this one lives on.
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def _finish(device: str, is_begin: bool = False) -> None:
    """Waits until the device has done what it was given."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()
        if is_begin:
            torch.cuda.reset_peak_memory_stats()


def _read_peak_cuda(device: str) -> float | None:
    if device != "cuda":
        return None
    import torch

    return torch.cuda.max_memory_allocated() / 2**20


def _read_commit(entry: Entry, checkout: Path | None) -> dict[str, str]:
    """Returns the commit of FastPLMs, which is measured from a checkout."""
    if entry.module != "fastplms" or checkout is None:
        return {}
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True)
    return {"commit": found.stdout.strip() or "unknown"}


def _read_job(content: dict[str, Any], work: str) -> Job:
    setting = content["setting"] | {"work": work, "passes": Passes()}
    paths = ("checkpoint", "work", "fastplms")
    setting |= {name: Path(setting[name]) for name in paths if setting[name]}
    content |= {
        name: Path(content[name]) for name in ("fasta", "warm_up", "vectors") if content[name]
    }
    return Job(**content | {"setting": Setting(**setting)})


def main() -> None:
    """Reads a job and writes its result."""
    request, answer = map(Path, sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="measure-") as work:
        result = measure(_read_job(json.loads(request.read_text()), work))
    answer.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
