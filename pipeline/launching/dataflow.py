"""What a launch on Dataflow refuses."""

from __future__ import annotations

import re

from pipeline.launching.mistakes import Asked, Table
from pipeline.launching.profiles import MACHINES, ONE_PROCESS, bucket_of, has_gpu, machine_of

DATAFLOW = Table()

_SERIES_OF_SEVERAL_GPUS = ("a2", "a3")


@DATAFLOW.refuses("--device beside --gpu")
def _device_twice(asked: Asked) -> str | None:
    if asked.config.model.device == "auto":
        return None
    return "--device is set by --gpu: cuda, or cpu where it is none. Leave it out."


@DATAFLOW.refuses("a bucket name that there cannot be")
def _bucket(asked: Asked) -> str | None:
    bucket = bucket_of(asked.launch)
    if re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/.*)?", bucket):
        return None
    return f"--bucket {asked.launch.bucket} is no name of a bucket. Give NAME or gs://NAME/FOLDER."


@DATAFLOW.refuses("temporary files outside Cloud Storage")
def _temporary(asked: Asked) -> str | None:
    for name in ("temp_location", "staging_location"):
        if not (asked.given(name) or "gs://").startswith("gs://"):
            return f"--{name} has to be a gs:// URL. Leave it out: --bucket sets it."
    return None


@DATAFLOW.refuses("a zone or subnetwork of another region, or a zone as --region")
def _region(asked: Asked) -> str | None:
    region = asked.launch.region or ""
    if re.search(r"\d-[a-z]$", region):
        return f"--region {region} is a zone. Give its region: --region {region[:-2]}."
    zones = {name: asked.given(name) or "" for name in ("worker_zone", "zone", "worker_region")}
    for name, zone in zones.items():
        if zone and zone.rpartition("-")[0] != region and zone != region:
            return f"--{name} {zone} is not in --region {region}. Give one of them alone."
    found = re.search(r"regions/([^/]+)/", asked.given("subnetwork") or "")
    if found and found[1] != region:
        return f"--subnetwork is of {found[1]}, and --region is {region}. Give one of {region}."
    return None


@DATAFLOW.refuses("more workers at the start than at the most")
def _more_at_start(asked: Asked) -> str | None:
    at_start, workers = asked.beam["num_workers"], asked.launch.workers
    if at_start is None or at_start <= workers:
        return None
    return f"--num_workers {at_start} is more than --workers {workers}. Raise --workers."


@DATAFLOW.refuses("a GPU asked for twice")
def _gpu_twice(asked: Asked) -> str | None:
    hints = [*asked.names("resource_hints"), *map(str, asked.config.hints)]
    services = asked.names("dataflow_service_options")
    for option, entries, sign in (
        ("resource_hints or --inference_hint", hints, "accelerator="),
        ("dataflow_service_options", services, "worker_accelerator="),
    ):
        if any(entry.startswith(sign) for entry in entries):
            return (
                f"{sign[:-1]} in --{option} asks for a GPU, as --gpu does, and Dataflow takes one "
                "or the other. Leave it out: --gpu_for job or inference says which steps get one."
            )
    return None


@DATAFLOW.refuses("a machine type that has no such GPU, or a GPU for which none is known")
def _machine(asked: Asked) -> str | None:
    launch = asked.launch
    if not has_gpu(launch):
        return None
    machine, known = machine_of(launch), MACHINES.get(launch.gpu or "")
    if machine is None:
        return (
            f"--gpu {launch.gpu} goes with no machine type known here ({', '.join(MACHINES)} do). "
            "Check its spelling, or give --machine_type."
        )
    if known and _family(machine) != _family(known):
        return (
            f"--machine_type {machine} has no {launch.gpu}: that one is in {known} and the like. "
            "Leave it out, or give one of them."
        )
    return None


def _family(machine: str) -> tuple[str, ...]:
    """Returns what tells by itself which GPUs a machine type has: of some series, two words."""
    series, *kind = machine.split("-")
    return (series, *kind[:1]) if series in _SERIES_OF_SEVERAL_GPUS else (series,)


@DATAFLOW.refuses("machines without a GPU where all have one, or none")
def _cpu_machine(asked: Asked) -> str | None:
    launch = asked.launch
    if launch.cpu_machine_type and launch.gpu_for == "job":
        return "--cpu_machine_type goes with --gpu_for inference. Add it, or leave this out."
    if not has_gpu(launch) and (launch.mps or launch.gpu_for == "inference"):
        option = "--mps" if launch.mps else "--gpu_for inference"
        return f"{option} goes with a GPU, and --gpu is none. Leave it out."
    return None


@DATAFLOW.refuses("MPS, which is many processes on a GPU, with one process")
def _mps_of_one(asked: Asked) -> str | None:
    if not asked.launch.mps or ONE_PROCESS not in asked.names("experiments"):
        return None
    return f"--mps is for several processes, and {ONE_PROCESS} leaves one. Leave one of them out."


@DATAFLOW.refuses("several processes on a GPU without MPS, each with a model")
def _processes(asked: Asked) -> str | None:
    if asked.launch.mps or "use_multiple_sdk_containers" not in asked.names("experiments"):
        return None
    return (
        "--experiments use_multiple_sdk_containers is a process for each vCPU, and each loads the "
        "model. Leave it out, or add --mps."
    )


@DATAFLOW.refuses("MPS on Dataflow Prime, which has none")
def _mps_on_prime(asked: Asked) -> str | None:
    if not asked.launch.mps or "enable_prime" not in asked.names("dataflow_service_options"):
        return None
    return "--mps is not to be had on Dataflow Prime. Leave out --mps or enable_prime."


@DATAFLOW.refuses("FlexRS with a GPU, or with --watch")
def _flexrs(asked: Asked) -> str | None:
    if asked.beam["flexrs_goal"] is None:
        return None
    if has_gpu(asked.launch):
        return "--flexrs_goal: FlexRS has no GPUs. Leave it out, or give --gpu none."
    if asked.config.watch:
        return "--flexrs_goal is for a job that ends. Leave it out, or --watch."
    return None


@DATAFLOW.refuses("right fitting of a watch without autoscaling")
def _right_fitting(asked: Asked) -> str | None:
    is_fixed = asked.beam["autoscaling_algorithm"] == "NONE"
    if not (is_fixed and asked.config.watch and asked.launch.gpu_for == "inference"):
        return None
    return (
        "--gpu_for inference with --watch needs autoscaling. Leave out --autoscaling_algorithm "
        "NONE, or give --gpu_for job."
    )
