"""A compaction that is killed: the next run, or the next compaction, finds all rows once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.faults.killing import STAGES, Point, check_verified, kill, options, outcome_of, run
from tests.faults.outcome import Outcome, assert_equal, read_outcome

KINDS = [
    ("embeddings/part-merged-", ".parquet"),
    ("dead_letters/part-merged-", ".jsonl"),
    ("commits/part-merged-", ".json"),
]
POINTS = [Point(*kind, stage) for kind in KINDS for stage in STAGES]


@pytest.fixture(scope="module")
def made(inputs: Path) -> Path:
    return inputs.parent / "made"


@pytest.fixture(scope="module")
def unbroken(inputs: Path, made: Path) -> Outcome:
    """What a run has left, in several parts."""
    return outcome_of(options(inputs, made), made)


@pytest.mark.parametrize(
    ("point", "is_merged_again"), [(p, p.stage == "after rename") for p in POINTS], ids=str
)
def test_a_compaction_that_is_killed(
    point: Point,
    is_merged_again: bool,
    inputs: Path,
    made: Path,
    unbroken: Outcome,
    tmp_path: Path,
) -> None:
    output, log = tmp_path / "out", tmp_path / "log"
    shutil.copytree(made, output)
    kill("pipeline.compact", [output], log, point)
    if is_merged_again:
        assert run("pipeline.compact", [output], log) == 0, log.read_text()
        assert_equal(read_outcome(output), unbroken)
        assert len(list((output / "commits").glob("part-*"))) == 1
    # The run also takes away what the compaction had staged.
    Path(f"{log}.events").unlink()
    assert run("pipeline.run", options(inputs, output), log) == 3, log.read_text()
    assert Path(f"{log}.events").read_text() == ""
    assert_equal(read_outcome(output), unbroken)
    check_verified(output, log)
