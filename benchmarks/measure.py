"""One program, in a process of its own: ``python -m benchmarks.measure JOB.json``.

What is timed is the same for all. It begins with the weights loaded, a handful of sequences
embedded and the FASTA file on disk, and ends when all vectors are in the memory of the CPU or on
disk and the device has finished. Importing and loading are not in it; reading the file and
making tokens of it are.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.entries import ENTRIES, REFERENCE, Entry
from benchmarks.machine import read_peak_megabytes, read_versions
from benchmarks.peer import Passes, Peer, Setting, Vectors

_LONGEST_MESSAGE = 300  # characters
_LONGEST_SECONDS = 3 * 3600


@dataclass(frozen=True)
class Job:
    """What a process is to measure.

    Attributes:
        entry: Name of the program.
        checkpoint: Directory of the weights.
        fasta: The input.
        warm_up: An input of a few sequences.
        vectors: Where the vectors go, an ``.npz`` file; None for nowhere.
        device: ``cpu`` or ``cuda``.
        dtype: ``float32``, ``float16`` or ``bfloat16``.
        threads: Threads of the CPU.
        budgets: Tokens of a pass, each measured in turn; [None] for the program's default.
        fastplms: A checkout of FastPLMs, if there is one.
    """

    entry: str
    checkpoint: str
    fasta: str
    warm_up: str
    vectors: str | None
    device: str
    dtype: str
    threads: int
    budgets: Sequence[int | None] = (None,)
    fastplms: str | None = None


def run_job(
    job: Job,
    python: str = sys.executable,
    cwd: Path = Path(__file__).parents[1],
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Measures in a new process.

    Args:
        job: What to measure.
        python: The interpreter.
        cwd: Where ``benchmarks`` is imported from.
        environment: Variables on top of those of this process.

    Returns:
        ``runs``, one for each budget, ``failures`` by budget where one cannot be run, and
        ``versions``; or ``failure``, in one line, if there is no run.
    """
    threads = {name: str(job.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    quiet = {"TRANSFORMERS_VERBOSITY": "error", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory(prefix="measure-") as folder:
        request, answer = Path(folder, "job.json"), Path(folder, "answer.json")
        request.write_text(json.dumps(asdict(job)))
        try:
            process = subprocess.run(
                [python, "-m", "benchmarks.measure", str(request), str(answer)],
                cwd=cwd,
                env=os.environ | threads | quiet | dict(environment or {}),
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


def measure(job: Job, work: Path) -> dict[str, Any]:
    """Measures in this process.

    Args:
        job: What to measure.
        work: An empty folder.

    Returns:
        As :func:`run_job`.
    """
    entry = REFERENCE if job.entry == "reference" else ENTRIES[job.entry]
    setting = Setting(
        checkpoint=Path(job.checkpoint),
        work=work,
        device=job.device,
        dtype=job.dtype,
        threads=job.threads,
        fastplms=Path(job.fastplms) if job.fastplms else None,
    )
    _set_threads(job.threads)
    runs, failures = [], {}
    for budget in job.budgets:
        try:
            run = _measure_budget(job, entry, replace(setting, budget=budget, passes=Passes()))
        except Exception as error:  # whatever a program fails with is its result
            traceback.print_exc()
            line = " ".join(str(error).split())
            failures[str(budget)] = f"{type(error).__name__}: {line}"[:_LONGEST_MESSAGE]
        else:
            runs.append(run)
    if not runs:
        return {"failure": next(iter(failures.values()))}
    versions = read_versions(entry.packages) | _read_commit(entry, setting.fastplms)
    return {"runs": runs, "failures": failures, "versions": versions, "code": _pipeline_path()}


def _measure_budget(job: Job, entry: Entry, setting: Setting) -> dict[str, Any]:
    peer = entry.load(setting)
    peer.embed(Path(job.warm_up))
    run, vectors = time_run(peer, setting, Path(job.fasta))
    if job.vectors:
        _write(Path(job.vectors), vectors)
    return {"budget": setting.budget} | run


def time_run(peer: Peer, setting: Setting, fasta: Path) -> tuple[dict[str, Any], Vectors]:
    """Embeds a file with a program that is warm.

    Args:
        peer: The program, loaded.
        setting: What it was loaded with.
        fasta: The file.

    Returns:
        Times in seconds, ``slots`` and ``tokens``, peaks of memory in megabytes, and the number
        of vectors; and the vectors.
    """
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


def _write(path: Path, vectors: Vectors) -> None:
    matrix = np.stack([np.asarray(vector, np.float32) for vector in vectors.values()])
    np.savez(path, ids=np.array(list(vectors)), vectors=matrix)


def _set_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


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


def _pipeline_path() -> str | None:
    """Returns where the pipeline was imported from, if it was."""
    module = sys.modules.get("pipeline")
    return getattr(module, "__file__", None)


def main() -> None:
    """Reads a job and writes its result."""
    request, answer = map(Path, sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="measure-") as work:
        result = measure(Job(**json.loads(request.read_text())), Path(work))
    answer.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
