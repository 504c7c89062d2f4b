"""This pipeline, from end to end through Beam: FASTA file in, Parquet and ``_ESM.pt`` out."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.peer import Peer, Setting, Vectors
from pipeline.checks import prepare
from pipeline.execution import execute
from pipeline.options import RunConfig
from transforms import events
from transforms.esm.model import EsmModelHandler, ModelConfig


def make_model_config(setting: Setting) -> ModelConfig:
    """Returns what a user would ask for; without a budget, the pipeline's own default."""
    budget = {} if setting.budget is None else {"toks_per_batch": setting.budget}
    return ModelConfig(
        model=str(setting.checkpoint), dtype=setting.dtype, device=setting.device, **budget
    )


def count_passes(setting: Setting) -> events.Listener:
    """Returns a listener that counts forward passes.

    Their time is from arrays to vectors in memory: pooling and both transfers are counted, which
    for the other programs are not. Of passes side by side it counts once; a GPU computes one after
    the other, and tells the time itself.
    """
    counted_until = 0.0
    is_cuda = setting.device == "cuda"

    def hear(event: events.Event) -> None:
        nonlocal counted_until
        if isinstance(event, events.PassComputed):
            now = time.perf_counter()
            seconds = event.seconds if is_cuda else now - max(counted_until, now - event.seconds)
            counted_until = now
            setting.passes.add(seconds, event.slots, event.tokens)

    return hear


def load(setting: Setting) -> Peer:
    """Loads the model, which later runs of this process find loaded."""
    model = make_model_config(setting)
    EsmModelHandler(model).load_model()

    def embed(fasta: Path) -> Path:
        output = tempfile.mkdtemp(dir=setting.work)
        config = RunConfig(inputs=(str(fasta),), output=output, model=model, quiet=True)
        with ExitStack() as held, events.listening(count_passes(setting)):
            report = execute(prepare(config, held))
        if report.failure:
            raise RuntimeError(report.failure)
        return Path(output)

    return Peer(embed, _read_vectors)


def _read_vectors(output: Path) -> Vectors:
    import torch

    (file,) = (output / "pt").iterdir()
    content = torch.load(file, weights_only=True)
    return {
        name: vector.numpy()
        for name, vector in zip(content["proteins"], content["data"], strict=True)
    }
