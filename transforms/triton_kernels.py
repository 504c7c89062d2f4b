"""What surrounds the matrix products on CUDA, each in one kernel that reads and writes once.

A card computes faster than it moves data. Left to torch, rotary positions are six kernels that move
eleven times what one has to, and take nearly as long as the matrix products. Triton comes with
torch's builds for CUDA; its kernels are compiled when first used, which takes a second.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

_BLOCK = 1024


def rotate_in_place(qkv: Tensor, heads: int, positions: Tensor, cos: Tensor, sin: Tensor) -> None:
    """Applies rotary positions to queries and keys, computing in float32.

    Args:
        qkv: Queries, keys and values, contiguous, (T, 3 heads, d).
        heads: Number of heads.
        positions: Of each token in its sequence, integers of shape (T,).
        cos: By position, float32 of shape (P, d / 2), contiguous.
        sin: The same.
    """
    tokens, rows, width = qkv.shape
    pairs = tokens * 2 * heads * (width // 2)
    grid = (triton.cdiv(pairs, _BLOCK),)
    _rotate[grid](
        qkv, positions, cos, sin, pairs, 2 * heads, rows * width, width // 2, block=_BLOCK
    )


@triton.jit  # type: ignore[untyped-decorator]
def _rotate(  # type: ignore[no-untyped-def]
    qkv, positions, cos, sin, pairs,
    rows: tl.constexpr, stride: tl.constexpr, half: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    # Value `lane` of the first half of a row is rotated with value `lane` of the second half.
    pair = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    is_one = pair < pairs
    lane = pair % half
    row = pair // half
    token = row // rows
    angle = tl.load(positions + token, mask=is_one, other=0) * half + lane
    c = tl.load(cos + angle, mask=is_one)
    s = tl.load(sin + angle, mask=is_one)
    first = qkv + token * stride + (row % rows) * 2 * half + lane
    a = tl.load(first, mask=is_one).to(tl.float32)
    b = tl.load(first + half, mask=is_one).to(tl.float32)
    tl.store(first, (a * c - b * s).to(qkv.dtype.element_ty), mask=is_one)
    tl.store(first + half, (b * c + a * s).to(qkv.dtype.element_ty), mask=is_one)


def add_and_norm(hidden: Tensor, update: Tensor, norm: nn.LayerNorm) -> Tensor:
    """Adds to the hidden states in place, and returns their layer norm, computed in float32.

    Args:
        hidden: Contiguous, (T, D).
        update: The same.
        norm: With weight and bias.
    """
    tokens, width = hidden.shape
    normed = torch.empty_like(hidden)
    block = triton.next_power_of_2(width)
    _add_and_norm[(tokens,)](
        hidden, update, norm.weight, norm.bias, normed, norm.eps, width, block=block
    )
    return normed


@triton.jit  # type: ignore[untyped-decorator]
def _add_and_norm(  # type: ignore[no-untyped-def]
    hidden, update, weight, bias, normed, eps, width: tl.constexpr, block: tl.constexpr
):
    start = tl.program_id(0).to(tl.int64) * width
    column = tl.arange(0, block)
    is_one = column < width
    x = tl.load(hidden + start + column, mask=is_one, other=0.0).to(tl.float32)
    x += tl.load(update + start + column, mask=is_one, other=0.0).to(tl.float32)
    # What is normed is what is kept, rounded.
    kept = x.to(hidden.dtype.element_ty)
    tl.store(hidden + start + column, kept, mask=is_one)
    x = kept.to(tl.float32)
    centred = tl.where(is_one, x - tl.sum(x, 0) / width, 0.0)
    scale = tl.rsqrt(tl.sum(centred * centred, 0) / width + eps)
    w = tl.load(weight + column, mask=is_one, other=0.0).to(tl.float32)
    b = tl.load(bias + column, mask=is_one, other=0.0).to(tl.float32)
    result = (centred * scale * w + b).to(normed.dtype.element_ty)
    tl.store(normed + start + column, result, mask=is_one)
