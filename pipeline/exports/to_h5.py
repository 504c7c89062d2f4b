"""HDF5 as ProtSpace and UniProt lay it out: one dataset of shape (D,) for each protein.

The root has the attribute ``model_name``, which ProtSpace needs, and what else is known of the
vectors. A dataset that is not named by the protein's id has that as ``original_id``.
"""

from __future__ import annotations

import h5py

from pipeline.exports.source import Source


def write(path: str, source: Source) -> None:
    """Writes the rows of an output to a file."""
    with h5py.File(path, "w") as file:
        file.attrs["model_name"] = source.model
        for name, value in source.describe().items():
            file.attrs[name] = value
        for block in source.read_blocks():
            ids = block.table.column("id").to_pylist()
            for key, record_id, vector in zip(block.keys, ids, block.vectors, strict=True):
                dataset = file.create_dataset(key, data=vector)
                if key != record_id:
                    dataset.attrs["original_id"] = record_id


def count(path: str) -> int:
    """Returns how many proteins a file holds."""
    with h5py.File(path, "r") as file:
        return len(file)


def find_fault(key: str) -> str | None:
    """Tells why HDF5 cannot name a dataset so; None if it can."""
    if "/" in key:
        # Not a dataset, but a group with one in it: ProtSpace refuses such ids too.
        return "has a /, which divides groups in HDF5"
    if not key or key == "." or "\0" in key:
        return "cannot name anything in HDF5"
    return None
