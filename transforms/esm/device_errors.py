"""What an error of a device means: that its memory is full, or that it is broken."""

from __future__ import annotations

import re

import torch

_OUT_OF_MEMORY = re.compile(
    r"out of memory|can(no|')t allocate memory|not enough memory|STATUS_ALLOC_FAILED",
    re.IGNORECASE,
)
_BROKEN_DEVICE = re.compile(
    r"CUDA error|CUBLAS_STATUS_|CUDNN_STATUS_|device-side assert|illegal memory access",
    re.IGNORECASE,
)
_RECORDING = re.compile(r"captur", re.IGNORECASE)


def is_out_of_memory(error: BaseException) -> bool:
    """Tells whether less work at a time may help: CUDA, MPS or the CPU ran out of memory."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and bool(_OUT_OF_MEMORY.search(str(error)))


def is_of_recording(error: BaseException) -> bool:
    """Tells whether an error of CUDA is about what cannot be recorded as a graph."""
    # The names and texts of CUDA's errors 900 to 908 have it, and no others.
    return isinstance(error, RuntimeError) and bool(_RECORDING.search(str(error)))


def is_fatal(error: BaseException) -> bool:
    """Tells whether the device is broken for this process: every later call would fail too."""
    if is_out_of_memory(error):
        return False
    return isinstance(error, torch.AcceleratorError) or (
        isinstance(error, RuntimeError) and bool(_BROKEN_DEVICE.search(str(error)))
    )
