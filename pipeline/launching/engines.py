"""The engines of ``python -m pipeline.launch``, and what is asked of each, in few words."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from pipeline.option_groups.values import positive
from pipeline.parser import Parser

EPILOG = """\
All other options are those of `python -m pipeline` (--input, --output, --model, --watch, …) and of
Apache Beam. --config FILE may hold these here too. docs/launching.md tells what is refused.
"""


def _asked(help: str, metavar: str | None = None, default: Any = None, **more: Any) -> Any:
    """Returns a field that is an option of that name; ``more`` is for its parser."""
    return field(default=default, metadata={"help": help, "metavar": metavar, **more})


def _needed(help: str, metavar: str) -> Any:
    return _asked(help, metavar, needed=True)


def _workers(meaning: str) -> Any:
    return _asked(f"{meaning} (default: %(default)s)", "N", default=1, type=positive)


def _shared_folder() -> Any:
    help = (
        "folder that this machine and all workers have under this name, so that --input and "
        "--output may lie below it"
    )
    return _asked(help, "DIR")


@dataclass(frozen=True)
class Dataflow:
    """workers of Google Cloud Dataflow."""

    project: str | None = _needed("the project that pays", "P")
    region: str | None = _needed("where the workers are, such as europe-west4", "R")
    bucket: str | None = _needed(
        "the Cloud Storage bucket for temporary files, best in that region", "B"
    )
    image: str | None = _needed("the image of the workers, see docker/", "IMAGE")
    gpu: str | None = _needed("the GPU of each worker, such as nvidia-l4, or none", "TYPE")
    gpu_for: str = _asked(
        "all workers, or those of the inference step alone: right fitting (default: %(default)s)",
        default="job",
        choices=("job", "inference"),
    )
    mps: bool = _asked(
        "a process for each vCPU, all on one GPU by NVIDIA's Multi-Process Service, each with a "
        "copy of the model",
        default=False,
    )
    machine_type: str | None = _asked(
        "machines with the GPU, or all if none has one (default: what goes with the GPU)", "M"
    )
    cpu_machine_type: str | None = _asked("with --gpu_for inference, machines without it", "M")
    workers: int = _workers("machines at the most")
    disk_gb: int = _asked(
        "disk of each worker, for the image above all (default: %(default)s)",
        "N",
        default=100,
        type=positive,
    )


@dataclass(frozen=True)
class Flink:
    """a Flink cluster whose task managers have a pool of Python workers beside them."""

    flink_master: str | None = _needed("REST service of the cluster", "HOST:PORT")
    worker_pool: str = _asked(
        "pool of Python workers, as a task manager sees it (default: %(default)s)",
        "HOST:PORT",
        default="localhost:50000",
    )
    checkpoint_dir: str | None = _asked("where checkpoints go (needed with --watch)", "URL")
    workers: int = _workers("subtasks that run at the same time: task slots to use")
    shared_folder: str | None = _shared_folder()


@dataclass(frozen=True)
class Portable:
    """any engine behind a job server of Beam's."""

    job_endpoint: str | None = _needed("job server", "HOST:PORT")
    worker_pool: str | None = _asked("pool of Python workers (this or --image)", "HOST:PORT")
    image: str | None = _asked("image of the workers that the engine starts", "IMAGE")
    workers: int = _workers("workers that there are")
    shared_folder: str | None = _shared_folder()


Launch = Dataflow | Flink | Portable

ENGINES: Mapping[str, type[Launch]] = {"dataflow": Dataflow, "flink": Flink, "portable": Portable}


def make_launch_parser(engine: str) -> argparse.ArgumentParser:
    """Returns the parser of what is asked of an engine: one of :data:`ENGINES`."""
    parser = Parser(
        prog=f"python -m pipeline.launch {engine}",
        description=f"Runs `python -m pipeline` on {ENGINES[engine].__doc__}",
        epilog=EPILOG,
    )
    parser.add_argument(
        "--dry_run",
        action="store_true",
        help="print the command with all its options, of Dataflow also what is asked for each "
        "step, and contact nobody",
    )
    for each in fields(ENGINES[engine]):
        options = dict(each.metadata)
        if options.pop("needed", False):
            options["help"] += " (needed)"
        if each.default is False:
            parser.add_argument(f"--{each.name}", action="store_true", help=options["help"])
        else:
            parser.add_argument(f"--{each.name}", default=each.default, **options)
    return parser


def make_launch(engine: str, ours: argparse.Namespace) -> Launch:
    """Returns what the parser of an engine has found."""
    return ENGINES[engine](**{name: v for name, v in vars(ours).items() if name != "dry_run"})


def find_missing(launch: Launch) -> str | None:
    """Returns the sentence that asks for the first option that is needed and not given."""
    for each in fields(launch):
        if each.metadata.get("needed") and not getattr(launch, each.name):
            return f"--{each.name} is needed: {each.metadata['help']}."
    return None
