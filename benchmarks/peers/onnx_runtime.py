"""onnxruntime on a float32 export of transformers' ``EsmModel``, in sorted, padded batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.batches import embed_padded
from benchmarks.peer import Peer, Setting, UnavailableError
from benchmarks.peers.hugging_face import load_tokenizer


def load(setting: Setting) -> Peer:
    """Exports the model, once for each checkpoint, and opens it."""
    import onnxruntime

    if setting.dtype != "float32":
        raise UnavailableError("only the float32 export is measured")
    provider = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}[setting.device]
    if provider not in onnxruntime.get_available_providers():
        raise UnavailableError(f"the installed onnxruntime has no {provider}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = setting.threads
    session = onnxruntime.InferenceSession(
        str(_export(setting)), sess_options=options, providers=[provider]
    )
    tokenizer = load_tokenizer(setting)

    def forward(sequences: list[str]) -> torch.Tensor:
        inputs = tokenizer(sequences, return_tensors="np", padding=True)
        ids = inputs["input_ids"].astype(np.int64)
        mask = inputs["attention_mask"].astype(np.int64)
        with setting.passes.timed(ids):
            (hidden,) = session.run(None, {"input_ids": ids, "attention_mask": mask})
        return torch.from_numpy(hidden)

    return Peer(lambda fasta: embed_padded(fasta, setting.budget or 2048, forward))


class _Encoder(torch.nn.Module):
    """The encoder with tensors in and one tensor out."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


def _export(setting: Setting) -> Path:
    path = setting.checkpoint / "model.onnx"
    if path.exists():
        return path
    from transformers import EsmModel

    model = EsmModel.from_pretrained(
        setting.checkpoint, attn_implementation="sdpa", add_pooling_layer=False
    )
    ids = torch.full((2, 9), 5)
    ids[0, 7:] = 1  # padded, so that the mask is part of the graph
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}
    torch.onnx.export(
        _Encoder(model).eval(),
        (ids, (ids != 1).long()),
        str(path),
        input_names=["input_ids", "attention_mask"],
        output_names=["hidden"],
        dynamic_shapes={"input_ids": axes, "attention_mask": axes},
        dynamo=True,
        verbose=False,
    )
    return path
