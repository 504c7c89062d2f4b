"""What a launch on a cluster with Python workers of its own refuses."""

from __future__ import annotations

from pipeline.launching.mistakes import Asked, Table

POOLS = Table()
FLINK = Table()
PORTABLE = Table()


@POOLS.refuses("--device auto, which is what this machine has")
def _device(asked: Asked) -> str | None:
    if asked.config.model.device != "auto":
        return None
    return (
        "--device auto is what this machine has, not the workers. Say what they have: --device "
        "cuda or --device cpu."
    )


@FLINK.refuses("a Flink of one's own in place of a cluster")
def _own_flink(asked: Asked) -> str | None:
    if not (asked.launch.flink_master or "").startswith("["):
        return None
    return (
        f"--flink_master {asked.launch.flink_master} starts a Flink of its own on this machine. "
        "Give HOST:PORT of the cluster's REST service."
    )


@FLINK.refuses("--watch on Flink without checkpoints, from which nothing could be restored")
def _checkpoints(asked: Asked) -> str | None:
    interval = asked.given("checkpointing_interval")
    if not asked.config.watch:
        return None
    if not asked.launch.checkpoint_dir:
        return "--watch on Flink needs --checkpoint_dir, a URL that all machines of it can write."
    if interval is not None and not (interval.isdigit() and int(interval)):
        return (
            f"--checkpointing_interval {interval} turns checkpoints off, and --watch needs them. "
            "Leave it out, or give milliseconds."
        )
    return None


@POOLS.refuses("several Python processes for one GPU")
def _processes_of_a_pool(asked: Asked) -> str | None:
    count = str(asked.beam["sdk_worker_parallelism"])
    if count == "1" or not asked.config.model.device.startswith("cuda"):
        return None
    return (
        f"--sdk_worker_parallelism {count} would be so many processes on a GPU, each with a model. "
        "Leave it out: one pool for each GPU is one process for each."
    )


@PORTABLE.refuses("a worker pool and an image, or neither")
def _pool_or_image(asked: Asked) -> str | None:
    if bool(asked.launch.worker_pool) != bool(asked.launch.image):
        return None
    return (
        "Give one of --worker_pool, where a pool of workers runs, and --image, which the engine is "
        "to start."
    )
