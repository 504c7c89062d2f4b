"""Real files with real oddities, each run through the command: EXPECTED.tsv says what comes out.

Its rows were judged one by one against what the files' owners state; a row of a whole file that
cannot be read has no count of records.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.command import embed
from tests.outputs import dead_letters, report

HERE = Path(__file__).parent
FOLDERS = (HERE.parents[1] / "shared/data/edge", HERE / "data/fasta")


@dataclass(frozen=True)
class Expected:
    path: Path
    records: int | None
    residues: int | None
    embedded: int
    dead_letters: int
    reason: str


def read_expected() -> list[Expected]:
    files = {path.name: path for folder in FOLDERS if folder.exists() for path in folder.iterdir()}
    with (HERE / "data/EXPECTED.tsv").open(newline="") as table:
        rows = [row for row in csv.DictReader(table, delimiter="\t") if row["file"] in files]
    named = {row["file"] for row in rows}
    assert named == files.keys(), f"without a row: {files.keys() - named}"
    return [
        Expected(
            files[row["file"]],
            int(row["records"]) if row["records"] else None,
            int(row["residues"]) if row["residues"] else None,
            int(row["embedded"]),
            int(row["dead_letters"]),
            row["reason"],
        )
        for row in rows
    ]


EXPECTED = read_expected()


def check(expected: Expected, outcome: dict[str, object], letters: list[dict[str, object]]) -> None:
    assert outcome["read"] == expected.records
    assert outcome["residues"] == expected.residues
    assert outcome["embedded"] == expected.embedded
    assert len(letters) == expected.dead_letters
    counts = Counter(str(letter["error_type"]) for letter in letters)
    reason = "; ".join(f"{count} {error_type}" for error_type, count in sorted(counts.items()))
    assert reason == expected.reason
    assert outcome["status"] == ("failed" if expected.records is None else "finished")


def check_said(said: str, expected: Expected) -> None:
    """What a person reads: no traceback, and each kind of failure with a file or an id."""
    assert "Traceback" not in said
    for reason in filter(None, expected.reason.split("; ")):
        count, error_type = reason.split(" ")
        assert f"  {int(count):,} {error_type} (" in said
        assert expected.path.name in said


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda e: e.path.name)
def test_each_file_on_its_own(
    expected: Expected, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = embed(expected.path, tmp_path, quiet=False)
    assert code == (3 if expected.dead_letters else 0)
    (outcome,) = json.loads((tmp_path / "run_report.json").read_text())["files"]
    check(expected, outcome, dead_letters(tmp_path))
    said = capfd.readouterr()
    check_said(said.out + said.err, expected)
    log = (tmp_path / "extraction_failures.log").read_text().splitlines()
    assert len(log) == expected.dead_letters
    assert all(len(line.split(" | ")) >= 5 for line in log)


def test_all_of_them_together(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for number, expected in enumerate(EXPECTED):
        (tmp_path / f"in/{number}").mkdir(parents=True)
        shutil.copy(expected.path, tmp_path / f"in/{number}")
    # By glob, since many have names that are not taken from folders.
    assert embed(tmp_path / "in/*/*", tmp_path / "out", quiet=False) == 3
    letters = dead_letters(tmp_path / "out")
    told = report(tmp_path / "out")
    outcomes = {Path(outcome["source"]).name: outcome for outcome in told["files"]}
    assert len(outcomes) == len(EXPECTED)
    for expected in EXPECTED:
        name = expected.path.name
        check(expected, outcomes[name], [d for d in letters if Path(str(d["source"])).name == name])
    assert told["totals"]["embedded"] == sum(expected.embedded for expected in EXPECTED)
    said = capfd.readouterr()
    assert "Traceback" not in said.out + said.err


@pytest.mark.skipif(not FOLDERS[0].exists(), reason="the shared data are not at hand")
def test_the_folder_as_it_stands_is_refused_for_its_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed(FOLDERS[0], tmp_path / "out", quiet=False) == 2
    error = capsys.readouterr().err
    assert "phold_phanotate.faa.bz2" in error
    assert "phold_phanotate.faa.xz" in error
