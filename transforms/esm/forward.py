"""One forward pass: sequences in, the mean over their residues out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from weakref import WeakKeyDictionary

import torch
from torch import nn

from transforms import events
from transforms.arrays import Vectors
from transforms.esm.cuda_graphs import Graphs
from transforms.esm.device_errors import is_out_of_memory
from transforms.esm.encoder import PackedEncoder
from transforms.esm.packing import Pack, Row, pack, pack_passes
from transforms.esm.padded import embed_padded

Rows = Sequence[Row] | Pack
Fetch = Callable[[], Vectors]

_GRAPHS: WeakKeyDictionary[PackedEncoder, Graphs] = WeakKeyDictionary()


def is_padded(model: nn.Module) -> bool:
    """Tells whether a pass of this model costs as many tokens as its longest sequence for each."""
    return not isinstance(model, PackedEncoder)


def concurrent_passes(model: nn.Module) -> int:
    """Returns how many passes of this model may run at a time: one on each core of a CPU."""
    # Padded, each would hold its own padding; and the model may be somebody else's.
    if is_padded(model) or _device_of(model).type != "cpu":
        return 1
    return torch.get_num_threads()


def launches_ahead(model: nn.Module) -> bool:
    """Tells whether passes of this model can wait on the device, while other things are done."""
    return isinstance(model, PackedEncoder) and _device_of(model).type == "cuda"


def attention_of(model: nn.Module) -> str:
    """Returns in words how a model attends, for logs and reports."""
    if isinstance(model, PackedEncoder):
        return f"packed ({model.name})"
    return "padded"


def prepare_passes(model: nn.Module, passes: Sequence[Sequence[Row]]) -> Sequence[Rows]:
    """Puts the sequences of passes into the form in which the model takes them, on its device.

    Each is what :func:`embed_rows` takes: so the arrays of many passes are made, and brought to
    the device, in one go.

    Raises:
        ValueError: A sequence is empty, or holds what is not an amino acid letter.
    """
    if not isinstance(model, PackedEncoder):
        return passes
    try:
        return pack_passes(passes, _device_of(model))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return passes  # each is packed by itself then, where running out is dealt with


@torch.inference_mode()
def embed_rows(model: nn.Module, rows: Rows) -> Vectors:
    """Runs the model once, and waits for what comes of it; see :func:`launch_rows`.

    Returns:
        float32 of shape (B, D): for each sequence the mean over the residues that count.
    """
    return launch_rows(model, rows)()


def launch_rows(model: nn.Module, rows: Rows, full: int = 0) -> Fetch:
    """Gives the device what it takes to run the model once; to be called in inference mode.

    Passes are computed in the order in which they were launched.

    Args:
        model: A :class:`PackedEncoder`, or what gives ``last_hidden_state`` (B, T, D) for
            ``input_ids`` and ``attention_mask`` (B, T).
        rows: B sequences, B >= 1, as they are or prepared for this model.
        full: Tokens of a full pass, if there are to be more of them.

    Returns:
        What waits for the device and returns the vectors, as :func:`embed_rows` does; to be called
        once. It waits only where :func:`launches_ahead`.

    Raises:
        ValueError: A sequence is empty, or holds what is not an amino acid letter.
    """
    if not isinstance(model, PackedEncoder):
        assert not isinstance(rows, Pack)
        vectors, slots, seconds = embed_padded(model, rows, _device_of(model))
        tokens = sum(row.tokens for row in rows)
        return partial(_announced, vectors, tokens, slots, seconds)
    packed = rows if isinstance(rows, Pack) else pack(rows, _device_of(model))
    if packed.token_ids.is_cuda:
        return _launch(model, packed, full)
    started = time.perf_counter()
    vectors, tokens = model.embed(packed).numpy(), len(packed.token_ids)
    return partial(_announced, vectors, tokens, tokens, time.perf_counter() - started)


def _announced(vectors: Vectors, tokens: int, slots: int, seconds: float) -> Vectors:
    events.emit(events.PassComputed(len(vectors), tokens, slots, seconds))
    return vectors


def _launch(model: PackedEncoder, packed: Pack, full: int) -> Fetch:
    with torch.cuda.device(packed.token_ids.device):
        # Waiting by the clock would count what was launched before.
        began, ended = _make_event(), _make_event()
        began.record()
        if model not in _GRAPHS:
            _GRAPHS[model] = Graphs()
        pooled = _GRAPHS[model].run(model, packed, full)
        vectors = torch.empty(pooled.shape, dtype=pooled.dtype, pin_memory=True)
        vectors.copy_(pooled, non_blocking=True)
        ended.record()

    def fetch() -> Vectors:
        ended.synchronize()
        seconds, tokens = began.elapsed_time(ended) / 1000, len(packed.token_ids)
        return _announced(vectors.numpy(), tokens, tokens, seconds)

    return fetch


def _make_event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True, blocking=True)  # type: ignore[no-untyped-call]


def _device_of(model: nn.Module) -> torch.device:
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device
