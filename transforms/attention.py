"""Attention among the tokens of each packed sequence, and never between two of them."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

logger = logging.getLogger(__name__)

Attend = Callable[[Tensor, Tensor, Tensor, Tensor, int], Tensor]
"""Query, key and value (T, heads, d), boundaries (B + 1,) and the length of the longest sequence;
returns (T, heads, d). Scores are divided by the square root of d."""

_TRIAL_LENGTHS = (7, 1, 130, 64)
_TRIAL_TOLERANCE = 0.02  # of values of about 1, in half precision


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


def attend_varlen(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    boundaries: Tensor,
    longest: int,
    **options: Any,
) -> Tensor:
    """Attends in all sequences at once by torch's flash kernel for CUDA, in half precision."""
    from torch.nn.attention.varlen import varlen_attn

    attended = varlen_attn(query, key, value, boundaries, boundaries, longest, longest, **options)
    assert isinstance(attended, Tensor)  # nothing else was asked for
    return attended


def choose_attention(
    device: torch.device, dtype: torch.dtype, heads: int, width: int
) -> tuple[str, Attend] | None:
    """Returns the name of the back end for a device, and the back end itself.

    On CUDA each candidate is tried first, on the device and against :func:`attend_each`: what is
    missing from this torch, or gives other numbers on this card, is not taken.

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
    for name, attend in _varlen_candidates():
        if _agrees(name, attend, device, dtype, heads, width):
            return name, attend
    return None


def _varlen_candidates() -> Iterator[tuple[str, Attend]]:
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return
    # One split is what makes a sequence's numbers independent of its company, and cuDNN, which
    # newer versions of torch may take unasked at a quarter of the speed, refuses it.
    if "num_splits" in inspect.signature(varlen_attn).parameters:
        yield "varlen flash", partial(attend_varlen, num_splits=1)
    yield "varlen", attend_varlen


@torch.inference_mode()
def _agrees(
    name: str, attend: Attend, device: torch.device, dtype: torch.dtype, heads: int, width: int
) -> bool:
    generator = torch.Generator().manual_seed(0)
    shape = 3, sum(_TRIAL_LENGTHS), heads, width
    query, key, value = torch.randn(shape, generator=generator).to(device, dtype)
    ends = torch.tensor(_TRIAL_LENGTHS).cumsum(0)
    boundaries = torch.cat((torch.zeros(1, dtype=ends.dtype), ends)).to(device, torch.int32)
    try:
        attended = attend(query, key, value, boundaries, max(_TRIAL_LENGTHS))
        expected = attend_each(query, key, value, boundaries, max(_TRIAL_LENGTHS))
        difference = float((attended.float() - expected.float()).abs().max())
    except Exception as error:  # whatever this build lacks for this card
        logger.debug("Attention %s cannot be used: %s", name, error)
        return False
    if not difference <= _TRIAL_TOLERANCE:
        logger.warning("Attention %s is off by %g on this device; not used.", name, difference)
        return False
    return True
