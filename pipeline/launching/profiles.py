"""Launch profiles: from what is asked of an engine to the options that make it so."""

from __future__ import annotations

from functools import singledispatch

from pipeline.launching.engines import Dataflow, Flink, Launch, Portable
from pipeline.options import RunConfig

MACHINES = {
    "nvidia-l4": "g2-standard-4",
    "nvidia-tesla-a100": "a2-highgpu-1g",
    "nvidia-a100-80gb": "a2-ultragpu-1g",
    "nvidia-h100-80gb": "a3-highgpu-1g",
    "nvidia-tesla-p100": "n1-standard-4",
    "nvidia-tesla-t4": "n1-standard-4",
    "nvidia-tesla-v100": "n1-standard-4",
}
"""The machine type that goes with one GPU of a type; those of another family have no such GPU."""

ONE_PROCESS = "no_use_multiple_sdk_containers"
"""Dataflow's default is a process for each vCPU, each of which would load the model."""

# One bundle is read or written while the other has the model, which takes one at a time.
_BUNDLES = 2
_CHECKPOINT_MILLISECONDS = 60_000
_KEEP_WORKER_MILLISECONDS = 600_000


@singledispatch
def profile(launch: Launch, config: RunConfig) -> list[str]:
    """Returns the options, of ours and of Beam's, that an engine needs.

    They are to stand before those of the user, which add to them or win.

    Args:
        launch: What is asked of the engine. Nothing that is needed is missing.
        config: What is to be run on it.
    """
    raise TypeError(launch)


@profile.register
def _dataflow(launch: Dataflow, config: RunConfig) -> list[str]:
    folder = f"gs://{bucket_of(launch)}/fastesm-beam"
    options = [
        "--runner=DataflowRunner",
        f"--project={launch.project}",
        f"--region={launch.region}",
        f"--temp_location={folder}/temp",
        f"--staging_location={folder}/staging",
        f"--sdk_container_image={launch.image}",
        "--sdk_location=container",
        f"--disk_size_gb={launch.disk_gb}",
        f"--max_num_workers={launch.workers}",
        f"--device={'cuda' if has_gpu(launch) else 'cpu'}",
    ]
    if not launch.mps:
        options.append(f"--experiments={ONE_PROCESS}")
    if config.watch:
        options.append("--enable_streaming_engine")
    machine = machine_of(launch)
    if not has_gpu(launch):
        return [*options, *([f"--machine_type={machine}"] if machine else []), _threads()]
    gpu = f"type:{launch.gpu};count:1;install-nvidia-driver:5xx{';use_nvidia_mps' * launch.mps}"
    if launch.gpu_for == "job":
        return [
            *options,
            f"--machine_type={machine}",
            f"--dataflow_service_options=worker_accelerator={gpu}",
            *([] if launch.mps else [_threads()]),
        ]
    if launch.cpu_machine_type:
        options.append(f"--machine_type={launch.cpu_machine_type}")
    if not launch.mps:
        options.append(f"--inference_hint=max_active_bundles_per_worker={_BUNDLES}")
    return [*options, f"--inference_hint=accelerator={gpu};machine_type:{machine}"]


@profile.register
def _flink(launch: Flink, config: RunConfig) -> list[str]:
    options = [
        "--runner=FlinkRunner",
        f"--flink_master={launch.flink_master}",
        "--flink_submit_uber_jar",
        *_pool(launch.worker_pool),
        f"--parallelism={launch.workers}",
    ]
    if launch.checkpoint_dir:
        options += ["--state_backend=rocksdb"]
        options += [f"--state_backend_storage_path={launch.checkpoint_dir}"]
    if config.watch:
        options.append(f"--checkpointing_interval={_CHECKPOINT_MILLISECONDS}")
    return options


@profile.register
def _portable(launch: Portable, config: RunConfig) -> list[str]:
    workers = ["--environment_type=DOCKER", f"--environment_config={launch.image}"]
    return [
        "--runner=PortableRunner",
        f"--job_endpoint={launch.job_endpoint}",
        *(_pool(launch.worker_pool) if launch.worker_pool else workers),
        # From which it follows among how many keys they share the work.
        f"--num_workers={launch.workers}",
    ]


def _pool(address: str) -> list[str]:
    """Returns the options for one Python process a pool, and so for each GPU, that stays."""
    return [
        "--environment_type=EXTERNAL",
        f"--environment_config={address}",
        "--sdk_worker_parallelism=1",
        f"--environment_cache_millis={_KEEP_WORKER_MILLISECONDS}",
    ]


def _threads() -> str:
    return f"--number_of_worker_harness_threads={_BUNDLES}"


def has_gpu(launch: Dataflow) -> bool:
    """Tells whether workers are to have a GPU."""
    return launch.gpu != "none"


def machine_of(launch: Dataflow) -> str | None:
    """Returns the machine type of the workers with a GPU, or of all if none has one."""
    return launch.machine_type or MACHINES.get(launch.gpu or "")


def bucket_of(launch: Dataflow) -> str:
    """Returns bucket and folder, without scheme."""
    return (launch.bucket or "").removeprefix("gs://").rstrip("/")
