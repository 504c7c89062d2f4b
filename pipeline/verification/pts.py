"""The ``.pt`` of a finished file and the failures beside it, held against the parts.

Memory holds one ``.pt`` and the vectors of one part.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pipeline.verification.files import FileContent, OpenPart
from pipeline.verification.findings import Finding, place
from transforms import storage
from transforms.arrays import Vectors
from transforms.dead_letters import decode_dead_letters
from transforms.naming import failures_name, pt_name
from transforms.output.commits import FileRecord
from transforms.text import one_line


class DamagedPtError(Exception):
    """A file cannot be loaded as a ``.pt``; the message says why."""


@dataclass(frozen=True, slots=True, eq=False)
class LoadedPt:
    """A ``.pt``.

    Attributes:
        sha256: SHA-256 of the file.
        ids: Its ids.
        vectors: Its vectors.
    """

    sha256: str
    ids: Sequence[str]
    vectors: Sequence[Vectors]


def load_pt(root: str, name: str) -> LoadedPt:
    """Loads a ``.pt``.

    Raises:
        DamagedPtError: It cannot be loaded.
        OSError: It cannot be read.
    """
    data = storage.read_bytes(storage.join(root, name))
    try:
        pt = torch.load(io.BytesIO(data), weights_only=True)
        ids, vectors = list(pt["proteins"]), [tensor.numpy() for tensor in pt["data"]]
    except Exception as error:  # whatever torch raises for a damaged file
        raise DamagedPtError(f"{type(error).__name__}: {one_line(error)}") from error
    return LoadedPt(hashlib.sha256(data).hexdigest(), ids, vectors)


def check_pt(
    root: str,
    content: FileContent,
    record: FileRecord,
    open_part: OpenPart,
    configuration: Mapping[str, Any],
) -> Iterator[Finding]:
    """The ``.pt`` is the one that was written, and its ids and vectors are those of the rows.

    Args:
        root: The output root.
        content: What the parts hold of the file.
        record: The record of the file.
        open_part: Reads a part, for the vectors.
        configuration: What the output was made with.
    """
    name = pt_name(content.source) if configuration["pt"] else None
    if record.pt != name:
        yield Finding("pt", f"{content.source}: its .pt should be {name}, not {record.pt}")
    if name is None:
        return
    try:
        pt = load_pt(root, name)
    except FileNotFoundError:
        yield Finding("missing", f"{name}: is gone")
        return
    except (DamagedPtError, OSError) as error:
        yield Finding("damaged", f"{name}: cannot be loaded ({error})")
        return
    if pt.sha256 != record.pt_sha256:
        yield Finding("digest", f"{name}: is not the file that was written: its SHA-256 differs")
    yield from compare_pt(name, pt, content, open_part, configuration)


def compare_pt(
    name: str,
    pt: LoadedPt,
    content: FileContent,
    open_part: OpenPart,
    configuration: Mapping[str, Any],
) -> Iterator[Finding]:
    """Holds ids and vectors of a ``.pt`` against the rows, bit by bit."""
    ids, vectors = pt.ids, pt.vectors
    if not len(ids) == len(vectors) == len(content.rows):
        yield Finding(
            "pt",
            f"{name}: {len(ids):,} ids and {len(vectors):,} vectors; "
            f"the parts hold {len(content.rows):,} rows",
        )
        return
    dim = configuration["dim"]
    if odd := [n for n, v in enumerate(vectors) if v.dtype != np.float32 or v.shape != (dim,)]:
        yield Finding("pt", f"{name}: vector {odd[0] + 1:,} is not float32 of {dim} values")
        return
    order = np.arange(len(ids))  # of the rows in the .pt
    if configuration["pt_order"] == "length":
        order = np.argsort(-content.rows.column("residues_used").to_numpy(), kind="stable")
    held = content.rows.column("id").to_pylist()
    ordinals = content.ordinals
    for position, row in enumerate(order.tolist()):
        if ids[position] != held[row]:
            where = place(content.source, int(ordinals[row]))
            yield Finding("pt", f"{name}: its id {position + 1:,} is not that of {where}")
    for index, part in enumerate(content.parts):
        positions = np.flatnonzero(content.part_of[order] == index)
        opened = open_part(part).rows
        if not len(positions) or opened is None:
            continue
        rows = order[positions]
        ours = np.stack([vectors[position] for position in positions.tolist()])
        theirs = opened.vectors[content.row_of[rows]]
        differ = (ours.view(np.uint32) != theirs.view(np.uint32)).any(axis=1)
        for row in rows[differ].tolist():
            where = place(content.source, int(ordinals[row]))
            yield Finding("pt", f"{name}: the vector of {where} is not that of {part.embeddings}")


def check_failures(
    root: str, content: FileContent, configuration: Mapping[str, Any]
) -> Iterator[Finding]:
    """The failures beside the ``.pt`` are the dead letters of the file; without any none are."""
    name = failures_name(content.source)
    url = storage.join(root, name)
    wanted = content.dead_letters if configuration["pt"] else ()
    try:
        if not storage.exists(url):
            if wanted:
                yield Finding("missing", f"{name}: is gone")
            return
        held = decode_dead_letters(storage.read_bytes(url))
    except (OSError, ValueError, TypeError) as error:
        yield Finding("damaged", f"{name}: cannot be read ({error})")
        return
    if held != wanted:
        yield Finding("failures", f"{name}: differs from the dead letters of {content.source}")
