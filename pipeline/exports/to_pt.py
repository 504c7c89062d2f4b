"""One ``_ESM.pt`` of all rows: ``{'proteins': [keys], 'data': [float32 tensors (D,)]}``.

Memory holds all keys besides.
"""

from __future__ import annotations

import os

import torch

from pipeline.exports.source import Source
from transforms import storage
from transforms.output.pt_format import write_pt


def write(path: str, source: Source) -> None:
    """Writes the rows of an output to a file."""
    folder, name = os.path.split(path)
    keys = [key for some in source.read_keys() for key in some]
    storage.publish(folder, name, lambda handle: write_pt(handle, keys, source.read_vectors()))


def count(path: str) -> int:
    """Returns how many proteins a file holds."""
    content = torch.load(path, weights_only=True, mmap=True)
    return min(len(content["proteins"]), len(content["data"]))
