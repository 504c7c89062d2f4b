"""What an output holds for a person who opens its files: no commit record is looked at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import torch


def rows(output: Path) -> list[dict[str, Any]]:
    """Each row of ``embeddings/``, by source and ordinal."""
    found = ds.dataset(output / "embeddings", format="parquet").to_table().to_pylist()
    return sorted(found, key=lambda row: (row["source"], row["ordinal"]))


def dead_letters(output: Path) -> list[dict[str, Any]]:
    """Each line of ``dead_letters/``, by source and ordinal, that of a whole file first."""
    found = [letter for path in (output / "dead_letters").glob("*") for letter in lines(path)]
    return sorted(found, key=lambda d: (d["source"], -1 if d["ordinal"] is None else d["ordinal"]))


def lines(path: Path) -> list[dict[str, Any]]:
    """What the lines of a ``.jsonl`` hold."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def report(output: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((output / "run_report.json").read_text())
    return content


def pt(output: Path, stem: str) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(output / f"pt/{stem}_ESM.pt", weights_only=True)
    return content
