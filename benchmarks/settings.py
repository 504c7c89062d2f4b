"""The options that say how programs are run, which several benchmarks have."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.keeping import count_cores
from benchmarks.peer import Setting
from benchmarks.weights import SHAPES, write_checkpoint

DTYPES = {"cpu": "float32", "cuda": "bfloat16"}


def add_settings(parser: argparse.ArgumentParser, shape: str = "8M", device: str = "cpu") -> None:
    """Adds the options of a model and of what it runs on."""
    add = parser.add_argument
    add("--shape", choices=tuple(SHAPES), default=shape, help="of the model (%(default)s)")
    add("--device", choices=tuple(DTYPES), default=device, help="(%(default)s)")
    add("--dtype", choices=("float32", "float16", "bfloat16"), help="float32; on CUDA bfloat16")
    add("--threads", type=int, default=count_cores(), help="of the CPU (%(default)s)")


def add_fastplms(parser: argparse.ArgumentParser) -> None:
    """Adds the option for the one program that is measured from a checkout."""
    parser.add_argument(
        "--fastplms",
        type=lambda text: Path(text).resolve(),
        metavar="DIR",
        help="a checkout of github.com/Synthyra/FastPLMs",
    )


def make_setting(options: argparse.Namespace, folder: Path) -> Setting:
    """Writes weights into a folder and returns how programs are to be run with them."""
    shape = SHAPES[options.shape]
    return Setting(
        checkpoint=write_checkpoint(folder / "checkpoint", shape, device=options.device),
        work=folder,
        device=options.device,
        dtype=options.dtype or DTYPES[options.device],
        threads=options.threads,
        fastplms=getattr(options, "fastplms", None),
    )
