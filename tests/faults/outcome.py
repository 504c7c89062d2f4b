"""Inputs with everything in them, and what an output of them must be equal to."""

from __future__ import annotations

import gzip
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.outputs import dead_letters, lines, rows

LETTERS = "ACDEFGHIKLMNPQRSTVWY"


def draw_records(draw: random.Random, count: int, name: str) -> list[tuple[str, str]]:
    """Returns (header, sequence) of some records; every fiftieth is a bad one."""
    return [
        (
            f"{name}_{i} a protein",
            "".join(draw.choices(LETTERS, k=draw.randrange(5, 60))) + "1" * (i % 50 == 49),
        )
        for i in range(count)
    ]


def write_fasta(path: Path, records: list[tuple[str, str]]) -> None:
    """Writes records as FASTA."""
    path.write_text("".join(f">{header}\n{sequence}\n" for header, sequence in records))


def write_inputs(folder: Path, files: int = 5, records: int = 140) -> None:
    """Writes FASTA files, one of them empty, and one that cannot be read."""
    folder.mkdir()
    draw = random.Random(10)
    for n in range(files):
        write_fasta(folder / f"f{n}.faa", draw_records(draw, records, f"f{n}"))
    (folder / "empty.faa").write_text("")
    (folder / "broken.faa.gz").write_bytes(gzip.compress(b">x\nMK\n" * 99)[:-9])


@dataclass(frozen=True)
class Outcome:
    """What an output holds for a reader who takes every file in its folders.

    Attributes:
        rows: Each row but for its vector, by key.
        vectors: float32 array of shape (n, D), in the order of ``rows``.
        dead_letters: Each dead letter but for its time, by key.
        pts: Ids and vectors of each ``.pt``.
        sidecars: Keys of the dead letters beside each ``.pt``.
    """

    rows: list[dict[str, Any]]
    vectors: np.ndarray
    dead_letters: list[dict[str, Any]]
    pts: dict[str, tuple[list[str], np.ndarray]]
    sidecars: dict[str, list[int]]


def read_outcome(output: Path) -> Outcome:
    """Reads an output as people do: by its folders, without its commit records."""
    found = rows(output)
    vectors = np.array([row.pop("embedding") for row in found], dtype=np.float32)
    letters = dead_letters(output)
    for letter in letters:
        del letter["time"]
    pts = {}
    for path in sorted((output / "pt").rglob("*_ESM.pt")):
        content = torch.load(path, weights_only=True)
        matrix = np.array([vector.numpy() for vector in content["data"]], dtype=np.float32)
        pts[path.name] = (content["proteins"], matrix)
    sidecars = {
        path.name: [letter["ordinal"] for letter in lines(path)]
        for path in sorted((output / "pt").rglob("*.jsonl"))
    }
    return Outcome(found, vectors, letters, pts, sidecars)


def assert_equal(one: Outcome, other: Outcome) -> None:
    """Two outputs hold the same; vectors may differ as those of other batches do."""
    assert one.rows == other.rows
    assert one.dead_letters == other.dead_letters
    assert one.sidecars == other.sidecars
    np.testing.assert_allclose(one.vectors, other.vectors, atol=1e-5, rtol=0)
    assert one.pts.keys() == other.pts.keys()
    for name, (ids, matrix) in one.pts.items():
        assert ids == other.pts[name][0], name
        np.testing.assert_allclose(matrix, other.pts[name][1], atol=1e-5, rtol=0)
