"""Where the model runs, and in which precision.

torch is imported where it is asked, so that a command without a model need not wait for it.
"""

from __future__ import annotations

import re

from transforms.errors import ConfigurationError

_DTYPES = ("float16", "bfloat16", "float32")


def resolve_device(name: str, is_here: bool = True) -> str:
    """Returns the device that a name stands for, once it is known to be there.

    Args:
        name: ``auto`` (CUDA where there is one, else the CPU), ``cpu``, ``cuda``, ``cuda:N`` or
            ``mps``.
        is_here: Whether it is one of this machine; if not, its workers find out whether it is
            there. ``auto`` always is what this machine has.

    Raises:
        ConfigurationError: There is no such name, or no such device on this machine.
    """
    import torch

    check_device_name(name)
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not is_here:
        return name
    if name == "mps" and not torch.backends.mps.is_available():
        raise ConfigurationError("--device mps: this machine has none. Use --device auto.")
    if name.startswith("cuda"):
        _check_cuda(name)
    return name


def check_device_name(name: str) -> None:
    """Makes sure that there is a device of such a name anywhere.

    Raises:
        ConfigurationError: There is none.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:(0|[1-9]\d*))?", name):
        raise ConfigurationError(f"--device is auto, cpu, cuda, cuda:N or mps, not {name!r}.")


def _check_cuda(name: str) -> None:
    import torch

    if torch.version.cuda is None and torch.version.hip is None:
        raise ConfigurationError(
            f"--device {name}: the installed torch {torch.__version__} is built for the CPU. "
            "Use --device cpu, or install a build of torch for CUDA."
        )
    if not torch.cuda.is_available():
        raise ConfigurationError(
            f"--device {name}: torch finds no CUDA device on this machine. "
            "Use --device cpu, or see whether nvidia-smi lists one."
        )
    count = torch.cuda.device_count()
    if int(name.partition(":")[2] or 0) >= count:
        there = "only cuda:0" if count == 1 else f"cuda:0 to cuda:{count - 1}"
        raise ConfigurationError(
            f"--device {name}: this machine has {there}. Use one that is there."
        )


def resolve_dtype(name: str, device: str) -> str:
    """Returns the precision that a name stands for.

    Args:
        name: ``auto`` (float16 on CUDA, float32 elsewhere), ``float16``, ``bfloat16`` or
            ``float32``.
        device: As :func:`resolve_device` returns it.

    Raises:
        ConfigurationError: There is no such name.
    """
    if name == "auto":
        return "float16" if device.startswith("cuda") else "float32"
    if name not in _DTYPES:
        raise ConfigurationError(f"--dtype is auto, {', '.join(_DTYPES)}, not {name!r}.")
    return name
