"""The options of ``python -m pipeline.launch``: what is asked of an engine, in few words."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.option_groups.values import positive
from pipeline.parser import Parser

EPILOG = """\
All other options are those of `python -m pipeline` (--input, --output, --model, --watch, …) and of
Apache Beam. --config FILE may hold these here too. docs/launching.md tells what is refused.
"""


@dataclass(frozen=True)
class Dataflow:
    """Workers of Google Cloud Dataflow.

    Attributes:
        project: Project that pays.
        region: Where the workers are.
        bucket: Cloud Storage bucket for temporary files, with or without ``gs://`` and a folder.
        image: Image of the workers.
        gpu: Type of the GPU of each, such as ``nvidia-l4``; ``none`` for none.
        gpu_for: ``job``, where all workers have one, or ``inference``, where those of the inference
            step alone have one and the others are machines without: right fitting.
        mps: Whether the processes of a worker share its GPU by NVIDIA's Multi-Process Service.
        machine_type: Machines with the GPU, or all if none has one; None for what goes with it.
        cpu_machine_type: Those without, beside machines that have one; None for Dataflow's choice.
        workers: How many machines at the most.
        disk_gb: Disk of each, in GB.
    """

    project: str | None
    region: str | None
    bucket: str | None
    image: str | None
    gpu: str | None
    gpu_for: str
    mps: bool
    machine_type: str | None
    cpu_machine_type: str | None
    workers: int
    disk_gb: int


@dataclass(frozen=True)
class Flink:
    """A Flink cluster whose task managers have a pool of Python workers beside them.

    Attributes:
        flink_master: Host and port of its REST service.
        worker_pool: Host and port of the pool, as a task manager sees it.
        workers: How many subtasks run at the same time.
        checkpoint_dir: Where checkpoints go; None for none.
        shared_folder: Folder that this machine and all workers have under this name; None for none.
    """

    flink_master: str | None
    worker_pool: str
    workers: int
    checkpoint_dir: str | None
    shared_folder: str | None


@dataclass(frozen=True)
class Portable:
    """Any engine behind a job server of Beam's.

    Attributes:
        job_endpoint: Host and port of the job server.
        worker_pool: Host and port of a pool of Python workers; None for containers.
        image: Image of the containers that the engine starts; None for a pool.
        workers: How many workers there are.
        shared_folder: Folder that this machine and all workers have under this name; None for none.
    """

    job_endpoint: str | None
    worker_pool: str | None
    image: str | None
    workers: int
    shared_folder: str | None


Launch = Dataflow | Flink | Portable


def make_launch_parser(engine: str) -> argparse.ArgumentParser:
    """Returns the parser of what is asked of an engine: one of :data:`ENGINES`."""
    parser = Parser(
        prog=f"python -m pipeline.launch {engine}",
        description=f"Runs `python -m pipeline` on {_ABOUT[engine]}",
        epilog=EPILOG,
    )
    parser.add_argument(
        "--dry_run",
        action="store_true",
        help="print the command with all its options, of Dataflow also what is asked for each "
        "step, and contact nobody",
    )
    _ADD[engine](parser)
    return parser


def make_launch(engine: str, ours: argparse.Namespace) -> Launch:
    """Returns what the parser of an engine has found."""
    fields = {name: value for name, value in vars(ours).items() if name != "dry_run"}
    return ENGINES[engine](**fields)


_ABOUT = {
    "dataflow": "workers of Google Cloud Dataflow.",
    "flink": "a Flink cluster whose task managers have a pool of Python workers beside them.",
    "portable": "any engine behind a job server of Beam's.",
}


def _add_dataflow(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--project", metavar="P", help="project that pays (needed)")
    add("--region", metavar="R", help="where the workers are, such as europe-west4 (needed)")
    add(
        "--bucket",
        metavar="B",
        help="Cloud Storage bucket for temporary files, best in that region (needed)",
    )
    add("--image", metavar="IMAGE", help="image of the workers, see docker/ (needed)")
    add("--gpu", metavar="TYPE", help="GPU of each, such as nvidia-l4, or none (needed)")
    add(
        "--gpu_for",
        choices=("job", "inference"),
        default="job",
        help="all workers, or those of the inference step alone: right fitting (default: job)",
    )
    add(
        "--mps",
        action="store_true",
        help="a process for each vCPU, all on one GPU by NVIDIA's Multi-Process Service, each with "
        "a copy of the model",
    )
    add(
        "--machine_type",
        metavar="M",
        help="machines with the GPU, or all if none has one (default: what goes with the GPU)",
    )
    add("--cpu_machine_type", metavar="M", help="with --gpu_for inference, machines without it")
    _add_workers(parser, "machines at the most")
    add(
        "--disk_gb",
        type=positive,
        default=100,
        metavar="N",
        help="disk of each worker, for the image above all (default: %(default)s)",
    )


def _add_flink(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--flink_master", metavar="HOST:PORT", help="REST service of the cluster (needed)")
    add(
        "--worker_pool",
        metavar="HOST:PORT",
        default="localhost:50000",
        help="pool of Python workers, as a task manager sees it (default: %(default)s)",
    )
    add("--checkpoint_dir", metavar="URL", help="where checkpoints go (needed with --watch)")
    _add_workers(parser, "subtasks that run at the same time: task slots to use")
    _add_shared_folder(parser)


def _add_portable(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--job_endpoint", metavar="HOST:PORT", help="job server (needed)")
    add("--worker_pool", metavar="HOST:PORT", help="pool of Python workers (this or --image)")
    add("--image", metavar="IMAGE", help="image of the workers that the engine starts")
    _add_workers(parser, "workers that there are")
    _add_shared_folder(parser)


def _add_workers(parser: argparse.ArgumentParser, meaning: str) -> None:
    parser.add_argument(
        "--workers", type=positive, default=1, metavar="N", help=f"{meaning} (default: 1)"
    )


def _add_shared_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--shared_folder",
        metavar="DIR",
        help="folder that this machine and all workers have under this name, so that --input and "
        "--output may lie below it",
    )


ENGINES: Mapping[str, type[Launch]] = {"dataflow": Dataflow, "flink": Flink, "portable": Portable}
_ADD = {"dataflow": _add_dataflow, "flink": _add_flink, "portable": _add_portable}
