"""What any launch refuses: mistakes that would cost hours or money before they show."""

from __future__ import annotations

import os
import re
import sys

from pipeline.launching.engines import find_missing
from pipeline.launching.mistakes import Asked, Table
from transforms import storage
from transforms.esm.checkpoints import DEMO_MODEL

MODELS_FOLDER = "/models/"
"""Where a model lies that an image brings along."""

COMMON = Table()
IMAGES = Table()


@COMMON.refuses("project, region, bucket, image, GPU, address of the engine: not given")
def _missing(asked: Asked) -> str | None:
    return find_missing(asked.launch)


_SET_BY_LAUNCH = {
    "runner": "the engine, which stands after `launch`",
    "streaming": "--watch",
    "sdk_container_image": "--image",
    "worker_harness_container_image": "--image",
    "max_num_workers": "--workers",
    "parallelism": "--workers",
    "disk_size_gb": "--disk_gb",
    "environment_type": "--worker_pool or --image",
    "environment_config": "--worker_pool or --image",
    "environment_option": "--worker_pool or --image",
    "environment_options": "--worker_pool or --image",
    "state_backend_storage_path": "--checkpoint_dir",
    "worker_machine_type": "--machine_type",
    "flink_version": "the cluster, which is asked for it",
}


@COMMON.refuses("an option of Beam that a launch option sets")
def _set_by_launch(asked: Asked) -> str | None:
    for name, by in _SET_BY_LAUNCH.items():
        if asked.given(name) is not None:
            return f"--{name} is set by {by}. Leave it out."
    return None


@COMMON.refuses("--shard or --gpus")
def _divided(asked: Asked) -> str | None:
    if not (asked.config.shard or asked.config.gpus):
        return None
    option = "--shard" if asked.config.shard else "--gpus"
    return (
        f"{option} divides the work among processes of the local runner, and an engine divides it "
        "among workers of its own. Leave it out, and give --workers."
    )


@COMMON.refuses("the demo model")
def _demo(asked: Asked) -> str | None:
    if asked.config.model.model != DEMO_MODEL:
        return None
    return (
        "--model demo has random weights: many machines would compute what means nothing. Try the "
        "pipeline with it on this machine, and give a model here."
    )


@COMMON.refuses("a model in a folder that only this machine has")
def _local_model(asked: Asked) -> str | None:
    model = asked.config.model.model
    is_folder = model.startswith(("/", ".", "~")) or os.path.isdir(model)
    if not is_folder or model.startswith(MODELS_FOLDER) or _is_shared(asked, model):
        return None
    return (
        f"--model {model} is a folder of this machine, and workers would look for it on theirs. "
        f"Put it into the image, below {MODELS_FOLDER}, and launch from that image; or give a hub "
        "id."
    )


@COMMON.refuses("local paths as --input, --input_root, --output or --checkpoint_dir")
def _local_paths(asked: Asked) -> str | None:
    config = asked.config
    paths = [("input", path) for path in config.inputs]
    paths += [("output", config.output), ("input_root", config.input_root or "")]
    paths.append(("checkpoint_dir", getattr(asked.launch, "checkpoint_dir", None) or ""))
    folder = getattr(asked.launch, "shared_folder", None)
    if folder and not os.path.isabs(folder):
        return f"--shared_folder {folder} is not absolute. Give it as it is called on all of them."
    for name, path in paths:
        if path and storage.is_local(path) and not _is_shared(asked, path):
            shared = " or a folder that all of them have, with --shared_folder"
            return (
                f"--{name} {path} is a path of this machine, and the workers are on others. Give a "
                f"URL such as gs://BUCKET/{name}{shared * hasattr(asked.launch, 'shared_folder')}."
            )
    return None


def _is_shared(asked: Asked, path: str) -> bool:
    folder = getattr(asked.launch, "shared_folder", None)
    if not folder:
        return False
    root = os.path.normpath(folder)
    return os.path.isabs(path) and os.path.commonpath([root, os.path.normpath(path)]) == root


@IMAGES.refuses("an image of another Python than this one")
def _other_python(asked: Asked) -> str | None:
    image, here = asked.launch.image or "", sys.version_info.minor
    found = re.search(r"(?<![a-z])(?:python|py|cp)[-_]?3[._]?(\d{1,2})(?!\d)", image)
    if not found or int(found[1]) == here:
        return None
    return (
        f"--image {image} is of Python 3.{found[1]}, and this is 3.{here}: workers could not read "
        f"the graph. Launch with Python 3.{found[1]}, best from the image itself, or build one of "
        f"3.{here}."
    )


@IMAGES.refuses("an image without a version, or :latest")
def _image_version(asked: Asked) -> str | None:
    image = asked.launch.image
    name, _, tag = (image or "").rpartition("/")[2].partition(":")
    if not image or "@" in name or (tag and tag != "latest"):
        return None
    return (
        f"--image {image} names no version, so workers that start later may get another image. "
        "Give a tag that stays, or a digest."
    )


@IMAGES.refuses("Beam's own image, which has neither torch nor this package")
def _stock_image(asked: Asked) -> str | None:
    image = asked.launch.image or ""
    if not re.search(r"(^|/)beam_python3\.\d+_sdk", image):
        return None
    return (
        f"--image {image} is Beam's own, with neither torch nor this package in it. Build one with "
        "docker/Dockerfile."
    )


@COMMON.refuses("a worker pool or job server without a port")
def _no_port(asked: Asked) -> str | None:
    for name in ("flink_master", "job_endpoint", "worker_pool"):
        address = getattr(asked.launch, name, None)
        if address and not re.search(r":\d+$|^\[", address):
            return f"--{name} {address} has no port. Give HOST:PORT."
    return None
