"""The options that choose the model."""

from __future__ import annotations

import argparse

from pipeline.option_groups.values import positive, tokens
from transforms.errors import ConfigurationError
from transforms.esm.checkpoints import DEFAULT_MODEL


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Adds them to a parser."""
    add = parser.add_argument_group("the model").add_argument
    add(
        "--model",
        default=DEFAULT_MODEL,
        metavar="NAME",
        help="hub id, local folder, or demo: random weights that carry no biology "
        "(default: %(default)s)",
    )
    add("--revision", metavar="REV", help="branch, tag or commit on the hub")
    add(
        "--dtype",
        choices=("auto", "float16", "bfloat16", "float32"),
        default="auto",
        help="auto: float16 on CUDA, else float32 (default: %(default)s)",
    )
    add(
        "--device",
        default="auto",
        metavar="DEVICE",
        help="auto, cpu, cuda, cuda:N or mps (default: %(default)s)",
    )
    add(
        "--toks_per_batch",
        type=tokens,
        default="auto",
        metavar="N",
        help="tokens of one forward pass; auto: 2048, on CUDA more (default: %(default)s)",
    )
    add(
        "--expected_dim",
        type=positive,
        metavar="D",
        help="refuse a model of another width, e.g. 1280 for FastESM2_650",
    )


def check_width(model: str, width: int, expected: int | None) -> None:
    """Makes sure that a model has the width that is expected; None for any.

    Raises:
        ConfigurationError: It has another.
    """
    if expected is not None and width != expected:
        raise ConfigurationError(
            f"--model {model} gives vectors of {width} values, but --expected_dim is {expected}. "
            "Give another --model or --expected_dim."
        )
