"""The fastest matrix product of the machine: what no encoder can exceed.

``python -m benchmarks.ceiling DEVICE DTYPE THREADS`` prints it, in floating-point operations a
second.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

# The best size of a CPU depends on its caches and cores; a GPU is filled by this one.
_SIZES = {"cpu": (512, 1024, 2048), "cuda": (8192,)}
_SECONDS_PER_SIZE = 0.5
_LEAST_RUNS = 5


def measure_ceiling(device: str, dtype: str, threads: int) -> float:
    """Returns the floating-point operations a second of square products, best size and run.

    Args:
        device: ``cpu`` or ``cuda``.
        dtype: Of the matrices.
        threads: Threads of the CPU.
    """
    import torch

    torch.set_num_threads(threads)
    best = 0.0
    for size in _SIZES[device]:
        matrix = torch.randn(size, size, device=device).to(getattr(torch, dtype))
        product = matrix @ matrix
        begun, runs = time.perf_counter(), 0
        while runs < _LEAST_RUNS or time.perf_counter() - begun < _SECONDS_PER_SIZE:
            if device == "cuda":
                torch.cuda.synchronize()
            started = time.perf_counter()
            torch.matmul(matrix, matrix, out=product)
            if device == "cuda":
                torch.cuda.synchronize()
            best = max(best, 2 * size**3 / (time.perf_counter() - started))
            runs += 1
    return best


def measure_sustained(dtype: str, seconds: float = 3.0) -> float:
    """Returns the same of a GPU that has been at it for a while, when its power is at the limit.

    Args:
        dtype: Of the matrices.
        seconds: How long.
    """
    import torch

    (size,) = _SIZES["cuda"]
    matrix = torch.randn(size, size, device="cuda").to(getattr(torch, dtype))
    product = matrix @ matrix
    torch.cuda.synchronize()
    begun, runs = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        for _ in range(_LEAST_RUNS):
            torch.matmul(matrix, matrix, out=product)
        torch.cuda.synchronize()
        runs += _LEAST_RUNS
    return 2 * size**3 * runs / (time.perf_counter() - begun)


def run_ceiling(device: str, dtype: str, threads: int) -> float:
    """Measures the ceiling in a new process."""
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.ceiling", device, dtype, str(threads)],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(process.stdout)


if __name__ == "__main__":
    print(measure_ceiling(sys.argv[1], sys.argv[2], int(sys.argv[3])))
