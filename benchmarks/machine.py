"""What a measurement was made on, and what a process takes of it."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

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
