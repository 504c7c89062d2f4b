"""One forward pass: sequences in, the mean over their residues out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from transforms import events
from transforms.bisection import is_out_of_memory
from transforms.compiling import compile_when_it_pays
from transforms.encoder import PackedEncoder
from transforms.encoding import encode, pad
from transforms.packing import Pack, Row, pack
from transforms.pooling import mean_pool, pool_segments

Vectors = np.ndarray[Any, np.dtype[np.float32]]
Rows = Sequence[Row] | Pack


def is_padded(model: nn.Module) -> bool:
    """Tells whether a pass of this model costs as many tokens as its longest sequence for each."""
    return not isinstance(model, PackedEncoder)


def concurrent_passes(model: nn.Module) -> int:
    """Returns how many passes of this model may run at a time: one on each core of a CPU."""
    # Padded, each would hold its own padding; and the model may be somebody else's.
    if is_padded(model) or _device_of(model).type != "cpu":
        return 1
    return torch.get_num_threads()


def attention_of(model: nn.Module) -> str:
    """Returns in words how a model attends, for logs and reports."""
    if isinstance(model, PackedEncoder):
        return f"packed ({model.attention})"
    return "padded"


def prepare_rows(model: nn.Module, rows: Sequence[Row]) -> Rows:
    """Puts sequences into the form in which the model takes them, on its device.

    The slices of it are what :func:`embed_rows` takes: so the arrays of many passes are made, and
    brought to the device, in one go.

    Raises:
        ValueError: A sequence is empty, or holds what is not an amino acid letter.
    """
    if not isinstance(model, PackedEncoder) or not rows:
        return rows
    try:
        return pack(rows, _device_of(model))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return rows  # each pass is packed by itself then, where running out is dealt with


@torch.inference_mode()
def embed_rows(model: nn.Module, rows: Rows) -> Vectors:
    """Runs the model once.

    Args:
        model: A :class:`PackedEncoder`, or what gives ``last_hidden_state`` (B, T, D) for
            ``input_ids`` and ``attention_mask`` (B, T).
        rows: B sequences, B >= 1, as they are or prepared for this model.

    Returns:
        float32 of shape (B, D): for each sequence the mean over the residues that count.

    Raises:
        ValueError: A sequence is empty, or holds what is not an amino acid letter.
    """
    if isinstance(model, PackedEncoder):
        packed = rows if isinstance(rows, Pack) else pack(rows, _device_of(model))
        vectors, seconds = _packed(model, packed)
        tokens = slots = len(packed.token_ids)
    else:
        assert not isinstance(rows, Pack)
        vectors, slots, seconds = _padded(model, rows)
        tokens = sum(row.tokens for row in rows)
    events.emit(events.PassComputed(len(rows), tokens, slots, seconds))
    return vectors


def _packed(model: PackedEncoder, packed: Pack) -> tuple[Vectors, float]:
    """Returns vectors and seconds."""
    started = time.perf_counter()
    # .cpu() waits for the device, so that its errors come up here, in the pass they belong to.
    vectors = pool_segments(model(packed), packed.segments).cpu().numpy()
    seconds = time.perf_counter() - started
    compile_when_it_pays(model, packed, seconds)
    return vectors, seconds


def _padded(model: nn.Module, rows: Sequence[Row]) -> tuple[Vectors, int, float]:
    """Returns vectors, tokens computed and seconds."""
    device = _device_of(model)
    arrays = (
        *pad([encode(row.residues) for row in rows]),
        np.array([1 + row.first for row in rows]),
        np.array([1 + row.last for row in rows]),
    )
    started = time.perf_counter()
    ids, mask, starts, stops = (torch.from_numpy(array).to(device) for array in arrays)
    hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
    vectors = mean_pool(hidden, starts, stops).cpu().numpy()
    return vectors, ids.numel(), time.perf_counter() - started


def _device_of(model: nn.Module) -> torch.device:
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device
