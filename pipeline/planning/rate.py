"""How fast the model goes, by what an earlier run has measured."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.outputs import REPORT, read_run_report
from transforms import storage
from transforms.errors import ConfigurationError
from transforms.esm.checkpoints import DEMO_MODEL


@dataclass(frozen=True)
class Rate:
    """How fast the model goes on one device.

    Attributes:
        tokens_per_second: Tokens that are computed, over all of a run's time.
        device: What it was measured on; empty where it was given.
        dtype: In which precision; empty where it was given.
        seconds: For how long it was measured; 0 where it was given.
    """

    tokens_per_second: float
    device: str = ""
    dtype: str = ""
    seconds: float = 0.0


def read_rate(output: str, model: str) -> Rate:
    """Returns how fast the last run on an output went, by its report.

    Raises:
        ConfigurationError: There is no report, or it does not tell how fast this model goes.
    """
    root = storage.absolute(output)
    report = read_run_report(root)
    try:
        made = report["configuration"]["model"]
        why = _find_fault(report)
        # Each shard is on a device of its own, and its time is in none of the others'.
        spans = [shard["seconds"] for shard in report.get("shards", ())] or [report["seconds"]]
        rate = Rate(
            tokens_per_second=report["metrics"].get("tokens", 0) / (sum(spans) or 1),
            device=str(report["device"]).partition(",")[0],  # of shards there are several
            dtype=str(report["configuration"]["dtype"]),
            seconds=float(sum(spans)),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"--like {root}: {storage.join(root, REPORT)} is not there, cannot be read, or is no "
            "report of a run. Give the --output of a run that has ended."
        ) from error
    if made != _name_of(model):
        raise ConfigurationError(
            f"--like {root}: that run was with --model {made}, which tells nothing of {model}. "
            "Give the --model of that run, or another output."
        )
    if why or not rate.tokens_per_second:
        raise ConfigurationError(
            f"--like {root}: {why or 'its last run had nothing to embed'}, so its report tells no "
            "speed. Give another output, or --tokens_per_second."
        )
    return rate


def _find_fault(report: Mapping[str, Any]) -> str | None:
    """Returns why the time of a run is not that of one device at work; None if it is."""
    from pipeline.runners import had_one_worker  # engines take long to import, and few plans ask

    options = report["options"]
    if options.get("watch") or options.get("input_subscription"):
        return "that run has waited for what was to come"
    if not had_one_worker(options):
        on = f" on --runner {options['runner']}" if options.get("runner") else ""
        return f"that run was{on} with workers nobody counted"
    return None


def _name_of(model: str) -> str:
    """Returns how a report names a model."""
    path = os.path.expanduser(model)
    is_directory = model != DEMO_MODEL and os.path.isdir(path)
    return os.path.realpath(path) if is_directory else model
