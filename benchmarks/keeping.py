"""What a benchmark has seen, with what it depends on, in ``benchmarks/results``."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("apache-beam", "torch", "transformers", "pyarrow", "numpy")


class Kept:
    """What one run of a benchmark sees, in a file beside the other runs of the day.

    Attributes:
        path: ``benchmarks/results/<name>-<date>.json``, or what ``--output`` says: a list of runs,
            each with its time, machine and options.
    """

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        now = datetime.now(UTC)
        self.path: Path = options.output or RESULTS / f"{name}-{now.date()}.json"
        self._earlier = json.loads(self.path.read_text()) if self.path.exists() else []
        given = {key: value for key, value in vars(options).items() if key != "output"}
        self._run = {
            "time": now.isoformat(timespec="seconds"),
            "machine": describe_machine(given.get("device")),
            "options": given,
        }

    def keep(self, seen: Mapping[str, Any]) -> dict[str, Any]:
        """Writes what has been seen so far, in place of what this run has written before.

        Returns:
            The run as it is written.
        """
        run = self._run | seen
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps([*self._earlier, run], indent=1, default=str) + "\n")
        return run


def count_cores() -> int:
    """Returns how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe_machine(device: str | None) -> dict[str, Any]:
    """Returns what a result depends on, and nothing that names the machine or its owner."""
    machine = {
        "processor": _read_processor(),
        "cores": count_cores(),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "python": platform.python_version(),
        **read_versions(PACKAGES),
    }
    if device == "cuda":
        import torch

        machine |= {"gpu": torch.cuda.get_device_name(), "cuda": str(torch.version.cuda)}
    return machine


def read_versions(packages: Iterable[str]) -> dict[str, str]:
    """Returns the versions of those distributions that are installed."""
    versions = {}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def _read_processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{platform.machine()} {next(names, '')}".strip()
