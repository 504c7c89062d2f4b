"""Rotary positions and layer norms: what of an encoder is neither matrix product nor attention.

Torch's own operations everywhere; on CUDA kernels of ours where they work.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from transforms.esm.kernels.trial import Run, check_kernel

logger = logging.getLogger(__name__)

Angles = tuple[Tensor, ...]

_TRIAL_TOKENS = 37


@dataclass(frozen=True)
class RotaryAndNorm:
    """A way to compute them.

    Attributes:
        name: For reports; empty for torch's own operations.
        choose_angles: From positions of T tokens, integers of shape (T,), and cosine and sine of
            each position, float32 of shape (P, d / 2): what ``rotate`` takes, for all layers.
        rotate: Applies rotary positions, in float32, to queries and keys: takes queries, keys and
            values (T, 3 heads, d), which it may change, the number of heads, and the angles;
            returns the three, (T, heads, d) each.
        add_and_norm: From hidden states (T, D), which it may change, what is added to them, and a
            layer norm: returns the sum and its norm.
    """

    name: str
    choose_angles: Callable[[Tensor, Tensor, Tensor], Angles]
    rotate: Callable[[Tensor, int, Angles], tuple[Tensor, Tensor, Tensor]]
    add_and_norm: Callable[[Tensor, Tensor, nn.LayerNorm], tuple[Tensor, Tensor]]


def _select_angles(positions: Tensor, cos: Tensor, sin: Tensor) -> Angles:
    return tuple(table[positions].repeat(1, 2)[:, None] for table in (cos, sin))


def _rotate(qkv: Tensor, heads: int, angles: Angles) -> tuple[Tensor, Tensor, Tensor]:
    cos, sin = angles
    exact = qkv[:, : 2 * heads].to(cos.dtype)
    half = exact.shape[-1] // 2
    turned = torch.cat((-exact[..., half:], exact[..., :half]), dim=-1)
    # In place: it is a copy, or what nobody else will read.
    query, key = exact.mul_(cos).addcmul_(turned, sin).to(qkv.dtype).chunk(2, dim=1)
    return query, key, qkv[:, 2 * heads :]


def _add_and_norm(hidden: Tensor, update: Tensor, norm: nn.LayerNorm) -> tuple[Tensor, Tensor]:
    hidden = hidden + update
    return hidden, norm(hidden)


PLAIN = RotaryAndNorm("", _select_angles, _rotate, _add_and_norm)


def choose_rotary_and_norm(
    device: torch.device, dtype: torch.dtype, heads: int, width: int
) -> RotaryAndNorm:
    """Returns the fastest way that works on a device.

    On CUDA the kernels are tried first, on the device and against torch's operations.

    Args:
        device: Where the model is.
        dtype: Of its parameters.
        heads: Number of heads.
        width: Values of each, d.
    """
    if device.type != "cuda":
        return PLAIN
    try:
        triton = _load_triton()
        check_kernel(*_prepare_trial(triton, device, dtype, heads, width))
    except Exception as error:  # what is missing: Triton, a compiler, support of the card
        logger.warning("Triton's kernels are not used, passes take half as long again: %s", error)
        return PLAIN
    return triton


def _load_triton() -> RotaryAndNorm:
    from transforms.esm.kernels import triton_kernels

    return RotaryAndNorm(
        "fused kernels",
        lambda *tables: tables,
        triton_kernels.rotate,
        triton_kernels.add_and_norm,
    )


@torch.inference_mode()
def _prepare_trial(
    tried: RotaryAndNorm, device: torch.device, dtype: torch.dtype, heads: int, width: int
) -> tuple[Run, Run]:
    """Returns what runs a way, and what runs torch's operations, on the same numbers."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device, dtype)

    angles = torch.randn((_TRIAL_TOKENS, width // 2), generator=generator).to(device)
    positions = torch.arange(_TRIAL_TOKENS, dtype=torch.int32, device=device).flip(0)
    norm = nn.LayerNorm(heads * width).to(device, dtype)
    norm.weight.copy_(draw(heads * width))
    norm.bias.copy_(draw(heads * width))
    qkv = draw(_TRIAL_TOKENS, 3 * heads, width)
    hidden, update = draw(_TRIAL_TOKENS, heads * width), draw(_TRIAL_TOKENS, heads * width)

    def run(way: RotaryAndNorm) -> tuple[Tensor, ...]:
        chosen = way.choose_angles(positions, angles.cos(), angles.sin())
        rotated = way.rotate(qkv.clone(), heads, chosen)
        return *rotated, *way.add_and_norm(hidden.clone(), update, norm)

    return partial(run, tried), partial(run, PLAIN)
