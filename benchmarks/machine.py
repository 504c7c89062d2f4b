"""What a measurement was made on, what a process takes of it, and where results are kept."""

from __future__ import annotations

import json
import os
import platform
import resource
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("apache-beam", "torch", "transformers", "pyarrow", "numpy")


def count_cores() -> int:
    """Returns how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe(packages: Iterable[str] = PACKAGES) -> dict[str, Any]:
    """Returns what a result depends on, and nothing that names the machine or its owner.

    Args:
        packages: Distributions whose versions are told; those that are not there are left out.
    """
    return {
        "processor": _read_processor(),
        "cores": count_cores(),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "python": platform.python_version(),
        **read_versions(packages),
    }


def add_result(name: str, result: dict[str, Any]) -> Path:
    """Adds a result, with machine and time, to those of its kind and of the day.

    Args:
        name: The kind.
        result: What was seen.

    Returns:
        The file, ``benchmarks/results/<name>-<date>.json``.
    """
    now = datetime.now(UTC)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}-{now.date()}.json"
    earlier = json.loads(path.read_text()) if path.exists() else []
    entry = result | {"machine": describe(), "time": now.isoformat(timespec="seconds")}
    path.write_text(json.dumps([*earlier, entry], indent=1) + "\n")
    return path


def read_versions(packages: Iterable[str]) -> dict[str, str]:
    """Returns the versions of those distributions that are installed."""
    versions = {}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def read_peak_megabytes() -> float:
    """Returns the most that this process has had in memory, in MB."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:  # no Linux; there the kernel counts in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    # Not ru_maxrss, in which the process that started this one lives on.
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def _read_processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{platform.machine()} {next(names, '')}".strip()
