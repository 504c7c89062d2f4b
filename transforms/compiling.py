"""``torch.compile`` where it pays: on CUDA, in a run that has shown to be long.

Compiling fuses what surrounds the matrix products: rotary positions, GELU, residuals and norms,
which as single kernels take longer than the products themselves. It costs about a minute. So it is
done once passes have taken a minute: a run never takes more than twice what the better choice
would have taken, and a long one hardly more.
"""

from __future__ import annotations

import logging
from weakref import WeakKeyDictionary

import torch

from transforms.bisection import is_fatal
from transforms.encoder import PackedEncoder
from transforms.packing import Pack

logger = logging.getLogger(__name__)

COMPILE_AFTER = 60.0
"""Seconds of passes."""

_MIN_COSINE = 0.9999

_seconds: WeakKeyDictionary[PackedEncoder, float] = WeakKeyDictionary()


def compile_when_it_pays(encoder: PackedEncoder, packed: Pack, seconds: float) -> None:
    """Takes note of a pass, and compiles the encoder when its time has come.

    Args:
        encoder: What has computed the pass.
        packed: What the pass was; compiled code is tried on it.
        seconds: How long it took.
    """
    if packed.token_ids.device.type != "cuda":  # on a CPU the products take nearly all the time
        return
    before = _seconds.get(encoder, 0.0)
    _seconds[encoder] = before + seconds
    if before < COMPILE_AFTER <= before + seconds:
        compile_layers(encoder, packed)


def compile_layers(encoder: PackedEncoder, packed: Pack) -> bool:
    """Compiles the layers, one code for all, and keeps it if it gives the same hidden states.

    Args:
        encoder: The encoder.
        packed: What both are tried on.

    Returns:
        Whether it is compiled now.

    Raises:
        Exception: The device is broken for this process.
    """
    expected = encoder(packed)
    plain = encoder.run_layers
    encoder.run_layers = [torch.compile(layer, dynamic=True) for layer in encoder.layers]
    try:
        cosine = torch.cosine_similarity(encoder(packed).float(), expected.float())
        lowest = float(cosine.min())
    except Exception as error:  # of the compiler, or of what it has made
        encoder.run_layers = plain
        if is_fatal(error):
            raise
        logger.warning("Not compiled (%s): %s", type(error).__name__, str(error).split("\n")[0])
        return False
    if not lowest >= _MIN_COSINE:
        encoder.run_layers = plain
        logger.warning("Compiled layers are off (cosine %.5f); not used.", lowest)
        return False
    logger.info("Compiled: the passes to come are faster.")
    return True
