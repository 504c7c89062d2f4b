"""How far the vectors of each way through the model are from the reference, in each precision."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.keeping import Kept
from benchmarks.peer import Vectors
from benchmarks.quality import compare
from benchmarks.weights import SHAPES, write_checkpoint
from pipeline.option_groups.values import positive
from transforms.esm.checkpoints import find_checkpoint
from transforms.esm.encoder import pack_encoder
from transforms.esm.encoding import encode
from transforms.esm.forward import attention_of
from transforms.esm.model import EsmModelHandler, ModelConfig, keep_model
from transforms.esm.weights import load_encoder
from transforms.items import Batch, EmbeddingBlock, Protein
from transforms.residues import ALLOWED_RESIDUES

LONGEST = 1022


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this benchmark."""
    add = parser.add_argument
    add("--device", default="cpu", help="(%(default)s)")
    add("--shape", choices=tuple(SHAPES), default="8M", help="of the model (%(default)s)")
    add("--records", type=positive, default=48, help="of 1 to 1,022 residues (%(default)s)")
    add("--dtypes", nargs="+", default=["float32", "float16", "bfloat16"])


def run(options: argparse.Namespace, kept: Kept) -> int:
    """Compares, writes the result and prints it as a table."""
    proteins = make_proteins(options.records)
    with tempfile.TemporaryDirectory(prefix="exactness-") as folder:
        shape, device = SHAPES[options.shape], options.device
        checkpoint = str(write_checkpoint(Path(folder, "checkpoint"), shape, device=device))
        references = embed_exactly(load(checkpoint, "float32", device, "eager"), proteins)
        rows = [
            {"path": attention_of(model), "dtype": dtype}
            | compare(embed(model, proteins), references)
            for dtype in options.dtypes
            for model in load_each_way(checkpoint, dtype, device)
        ]
    kept.keep({"rows": rows})
    print("| shape | path | dtype | worst difference | least cosine |\n|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {options.shape} | {row['path']} | {row['dtype']} | {row['worst_difference']:.1e} "
            f"| {row['least_cosine']:.7f} |"
        )
    return 0


def make_proteins(count: int) -> list[Protein]:
    """Returns proteins of 1 to 1,022 residues, in no order."""
    rng = np.random.default_rng(0)
    lengths = rng.permutation(np.linspace(1, LONGEST, count).astype(int))
    letters = list(ALLOWED_RESIDUES)
    texts = ["".join(rng.choice(letters, length)) for length in lengths]
    return [
        Protein("x.faa", i, f"p{i}", "", text, "", residues_used=len(text))
        for i, text in enumerate(texts)
    ]


def load(checkpoint: str, dtype: str, device: str, attention: str | None = None) -> Any:
    """Returns transformers' encoder, with a way of attending of its own if one is named."""
    encoder = load_encoder(find_checkpoint(checkpoint), dtype, device)
    if attention:
        encoder.set_attn_implementation(attention)  # type: ignore[operator]
    return encoder


def load_each_way(checkpoint: str, dtype: str, device: str) -> list[nn.Module]:
    """Returns the models of a device: packed, if it can, and padded."""
    padded = load(checkpoint, dtype, device)
    packed = pack_encoder(load(checkpoint, dtype, device))
    return [packed, padded] if attention_of(packed) != attention_of(padded) else [padded]


def embed(model: nn.Module, proteins: list[Protein]) -> Vectors:
    """Returns the vectors of the handler, by id."""
    keep_model("kept", model)
    handler = EsmModelHandler(ModelConfig("kept"))
    (block,) = handler.run_inference(Batch(tuple(proteins)), handler.load_model())
    assert isinstance(block, EmbeddingBlock)
    return {p.id: vector for p, vector in zip(block.proteins, block.vectors, strict=True)}


@torch.inference_mode()
def embed_exactly(encoder: nn.Module, proteins: list[Protein]) -> Vectors:
    """Returns the means of one sequence at a time, without any code of ours but the tokens."""
    vectors = {}
    for protein in proteins:
        ids = torch.from_numpy(encode(protein.sequence))[None].to(encoder.device)
        hidden = encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        vectors[protein.id] = hidden[0, 1:-1].mean(dim=0).cpu().numpy()
    return vectors
