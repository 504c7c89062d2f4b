"""Attention among the tokens of each packed sequence, and never between two of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from transforms.esm.kernels.trial import check_kernel

logger = logging.getLogger(__name__)

Attend = Callable[[Tensor, Tensor, Tensor, Tensor, int], Tensor]
"""Query, key and value (T, heads, d), boundaries (B + 1,) and the length of the longest sequence;
returns (T, heads, d). Scores are divided by the square root of d."""

_TRIAL_LENGTHS = (7, 1, 130, 64)
_TIMED_LENGTHS = tuple(range(100, 700, 10))  # a tenth of a millisecond on a fast card
_TIMED_CALLS = 10


def attend_each(
    query: Tensor, key: Tensor, value: Tensor, boundaries: Tensor, longest: int
) -> Tensor:
    """Attends in one sequence after the other: the fastest on a CPU, and right everywhere."""
    sizes = boundaries.diff().tolist()
    attended = torch.empty(query.shape, dtype=query.dtype, device=query.device)
    tensors = (attended, query, key, value)
    for out, *qkv in zip(*(torch.split(tensor, sizes) for tensor in tensors), strict=True):
        q, k, v = (tensor.transpose(0, 1)[None] for tensor in qkv)
        out.copy_(functional.scaled_dot_product_attention(q, k, v)[0].transpose(0, 1))
    return attended


def _attend_varlen(
    query: Tensor, key: Tensor, value: Tensor, boundaries: Tensor, longest: int
) -> Tensor:
    """Attends in all sequences at once by torch's flash kernel for CUDA, in half precision."""
    from torch.nn.attention.varlen import varlen_attn

    # One split is what makes a sequence's numbers independent of its company, and cuDNN, which
    # newer versions of torch may take unasked at a quarter of the speed, refuses it.
    attended = varlen_attn(
        query, key, value, boundaries, boundaries, longest, longest, num_splits=1
    )
    assert isinstance(attended, Tensor)  # nothing else was asked for
    return attended


def _attend_triton(
    query: Tensor, key: Tensor, value: Tensor, boundaries: Tensor, longest: int
) -> Tensor:
    """Attends in all sequences at once by our own kernel for CUDA."""
    from transforms.esm.kernels.triton_kernels import attend

    return attend(query, key, value, boundaries, longest)


_ON_CUDA: dict[str, Attend] = {"Triton": _attend_triton, "varlen flash": _attend_varlen}


def choose_attention(
    device: torch.device, dtype: torch.dtype, heads: int, width: int
) -> tuple[str, Attend] | None:
    """Returns the name of the back end for a device, and the back end itself.

    On CUDA each candidate is tried first, on the device and against :func:`attend_each`: what is
    missing there, or gives other numbers, is not taken; the fastest of the others is.

    Args:
        device: Where the model is.
        dtype: Of its parameters.
        heads: Number of heads.
        width: Values of each, d.

    Returns:
        None where padded batches are the better way.
    """
    if device.type == "cpu":
        return "each", attend_each
    if device.type != "cuda" or dtype not in (torch.float16, torch.bfloat16):
        return None
    kind = device, dtype, heads, width
    seconds = {}
    for name, attend in _ON_CUDA.items():
        try:
            _try_out(attend, *kind)
        except ArithmeticError as error:
            logger.warning("Attention by %s is not used: %s", name, error)
        except Exception as error:  # whatever this build lacks for this card
            logger.debug("There is no attention by %s: %s", name, error)
        else:
            seconds[name, attend] = _time(attend, *kind)
    logger.debug("Attention, seconds: %s", {name: each for (name, _), each in seconds.items()})
    return min(seconds, key=lambda candidate: seconds[candidate], default=None)


def _draw(
    lengths: Sequence[int], device: torch.device, dtype: torch.dtype, heads: int, width: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
    """Returns what an :data:`Attend` takes, for sequences of some lengths."""
    generator = torch.Generator().manual_seed(0)
    shape = 3, sum(lengths), heads, width
    query, key, value = torch.randn(shape, generator=generator).to(device, dtype)
    boundaries = torch.tensor([0, *lengths]).cumsum(0).to(device, torch.int32)
    return query, key, value, boundaries, max(lengths)


@torch.inference_mode()
def _time(
    attend: Attend, device: torch.device, dtype: torch.dtype, heads: int, width: int
) -> float:
    """Returns seconds of one call, after others."""
    arguments = _draw(_TIMED_LENGTHS, device, dtype, heads, width)
    best = float("inf")
    for _ in range(_TIMED_CALLS):
        torch.cuda.synchronize(device)
        started = time.perf_counter()
        attend(*arguments)
        torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - started)
    return best


def _try_out(
    attend: Attend, device: torch.device, dtype: torch.dtype, heads: int, width: int
) -> None:
    arguments = _draw(_TRIAL_LENGTHS, device, dtype, heads, width)
    check_kernel(lambda: [attend(*arguments)], lambda: [attend_each(*arguments)])
