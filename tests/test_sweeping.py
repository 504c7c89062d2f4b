"""Tests of taking away what does not count."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import files_below
from tests.test_commits import CONFIGURATION, FILE, PART
from transforms.output.commits import write_file_records, write_part_record
from transforms.output.configuration import write_configuration
from transforms.output.sweeping import sweep


@pytest.fixture
def half_done(tmp_path: Path) -> Path:
    """An output with a part, a finished file, and what a killed run leaves."""
    write_part_record(str(tmp_path), PART)
    write_file_records(str(tmp_path), "x", [FILE])
    write_configuration(str(tmp_path), CONFIGURATION)
    for name in (
        f"embeddings/{PART.embeddings}",
        "embeddings/part-run1-0-0-older.parquet",
        "embeddings/part-run1-0-1-abc.parquet",
        f"dead_letters/{PART.dead_letters}",
        "dead_letters/part-run1-0-1-abc.jsonl",
        ".staging/0123abcd",
        "pt/sub/ü_ESM.pt",
        "run_report.json",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_sweep_keeps_what_is_committed_and_nothing_that_is_not(half_done: Path) -> None:
    sweep(str(half_done))
    assert files_below(half_done) == sorted(
        [
            "commits/files-x.json",
            "commits/output.json",
            "commits/part-run1-0-0.json",
            f"dead_letters/{PART.dead_letters}",
            f"embeddings/{PART.embeddings}",
            "pt/sub/ü_ESM.pt",
            "run_report.json",
        ]
    )
    assert not (half_done / ".staging").exists()


def test_sweep_of_a_new_output(tmp_path: Path) -> None:
    sweep(str(tmp_path / "new"))
    assert files_below(tmp_path) == []
