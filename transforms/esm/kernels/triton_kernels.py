"""What is not a matrix product of the whole batch, in as few kernels for CUDA as possible.

A card computes faster than it moves data. Left to torch, rotary positions are six kernels that move
eleven times what one has to, and take nearly as long as the matrix products. Attention is for
sequences of some hundred tokens, for which the blocks of torch's flash kernel are large.

Triton comes with torch's builds for CUDA; a kernel is compiled when first used, which takes a
second.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

_BLOCK = 1024
_QUERIES, _KEYS = 64, 32  # of a block of attention
_LOG2_E = 1.4426950408889634


def rotate(qkv: Tensor, heads: int, angles: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Applies rotary positions to queries and keys in place, computing in float32.

    Args:
        qkv: Queries, keys and values, contiguous, (T, 3 heads, d).
        heads: Number of heads.
        angles: The position of each token in its sequence, integers of shape (T,), and cosine and
            sine by position, float32 of shape (P, d / 2), contiguous.

    Returns:
        Queries, keys and values, (T, heads, d) each.
    """
    positions, cos, sin = angles
    tokens, rows, width = qkv.shape
    pairs = tokens * 2 * heads * (width // 2)
    grid = (triton.cdiv(pairs, _BLOCK),)
    _rotate[grid](
        qkv, positions, cos, sin, pairs, 2 * heads, rows * width, width // 2, block=_BLOCK
    )
    query, key, value = qkv.chunk(3, dim=1)
    return query, key, value


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


def add_and_norm(hidden: Tensor, update: Tensor, norm: nn.LayerNorm) -> tuple[Tensor, Tensor]:
    """Adds to the hidden states in place; returns them and their layer norm, from float32.

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
    return hidden, normed


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


def attend(query: Tensor, key: Tensor, value: Tensor, boundaries: Tensor, longest: int) -> Tensor:
    """Attends among the tokens of each sequence, after the algorithm of FlashAttention-2.

    See https://arxiv.org/abs/2307.08691, algorithm 1. What a sequence gets depends on nothing but
    itself.

    Args:
        query: (T, heads, d), d a power of 2 of at least 16; the heads of a token contiguous.
        key: The same.
        value: The same.
        boundaries: Where each sequence begins, and T; int32 of shape (B + 1,).
        longest: Tokens of the longest sequence; what is beyond in a longer one stays unset.

    Returns:
        (T, heads, d), contiguous.
    """
    tokens, heads, width = query.shape
    attended = torch.empty((tokens, heads, width), dtype=query.dtype, device=query.device)
    grid = (triton.cdiv(longest, _QUERIES), heads, len(boundaries) - 1)
    _attend[grid](
        query, key, value, attended, boundaries, _LOG2_E / width**0.5,
        query.stride(0), key.stride(0), value.stride(0), heads * width,
        width=width, queries=_QUERIES, keys=_KEYS, num_warps=4, num_stages=4,
    )  # fmt: skip
    return attended


@triton.jit  # type: ignore[untyped-decorator]
def _attend(  # type: ignore[no-untyped-def]
    query, key, value, attended, boundaries, scale,
    query_stride, key_stride, value_stride, stride,
    width: tl.constexpr, queries: tl.constexpr, keys: tl.constexpr,
):  # fmt: skip
    first = tl.load(boundaries + tl.program_id(2))
    length = tl.load(boundaries + tl.program_id(2) + 1) - first
    if tl.program_id(0) * queries >= length:
        return
    first = first.to(tl.int64)
    lane = tl.program_id(1) * width + tl.arange(0, width)
    row = tl.program_id(0) * queries + tl.arange(0, queries)
    is_one = (row < length)[:, None]
    column = tl.arange(0, keys)
    q = tl.load(query + (first + row)[:, None] * query_stride + lane, mask=is_one, other=0.0)
    key += first * key_stride + column[None, :] * key_stride + lane[:, None]
    value += first * value_stride + column[:, None] * value_stride + lane[None, :]
    top = tl.full((queries,), -float("inf"), tl.float32)
    total = tl.zeros((queries,), tl.float32)
    mean = tl.zeros((queries, width), tl.float32)
    full = length // keys * keys
    for start in tl.range(0, full, keys):
        k = tl.load(key + start * key_stride)
        v = tl.load(value + start * value_stride)
        mean, top, total = _add_keys(mean, top, total, tl.dot(q, k) * scale, v)
    if full < length:
        is_key = full + column < length
        k = tl.load(key + full * key_stride, mask=is_key[None, :], other=0.0)
        v = tl.load(value + full * value_stride, mask=is_key[:, None], other=0.0)
        scores = tl.where(is_key[None, :], tl.dot(q, k) * scale, -float("inf"))
        mean, top, total = _add_keys(mean, top, total, scores, v)
    result = (mean / total[:, None]).to(attended.dtype.element_ty)
    tl.store(attended + (first + row)[:, None] * stride + lane, result, mask=is_one)


@triton.jit
def _add_keys(mean, top, total, scores, v):  # type: ignore[no-untyped-def]
    higher = tl.maximum(top, tl.max(scores, 1))
    weights = tl.exp2(scores - higher[:, None])
    shrunk = tl.exp2(top - higher)
    total = total * shrunk + tl.sum(weights, 1)
    return tl.dot(weights.to(v.dtype), v, mean * shrunk[:, None]), higher, total
