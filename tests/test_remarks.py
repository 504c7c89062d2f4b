"""What is no failure and worth a look is told at the end of a run, and stays told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline import plan, run, status
from pipeline.shared_ids import count_sharing_an_id
from tests.command import exit_code_of
from transforms.output.commits import read_commits

GENE = "ATGGCTAAAGGTCTGAACGATTACCTGGAAGCTGCTATTAACGAG" * 2
PROTEIN = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEK"


def report(output: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((output / "run_report.json").read_text())
    return found


def test_that_files_seem_to_be_nucleotides_stays_told_until_they_are_mended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, output = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    (folder / "genes.fna").write_text(f">g\n{GENE}\n")
    (folder / "a.faa").write_text(f">p\n{PROTEIN}\n")
    args = ("--output", output, "--model", "demo", "--input_root", folder, "--input")
    sentence = "genes.fna seems to hold nucleotides"
    # Once more with nothing to do, and with another file alone.
    for given in (folder, folder, folder / "a.faa"):
        assert exit_code_of(run.main, *args, given) == 0
        assert sentence in capsys.readouterr().out
        assert report(output)["seem_nucleotides"] == ["genes.fna"]
    assert exit_code_of(status.main, output) == 0
    assert sentence in capsys.readouterr().out
    (folder / "genes.fna").write_text(f">g\n{PROTEIN}\n")
    assert exit_code_of(run.main, *args, folder) == 0
    said = capsys.readouterr()
    assert sentence not in said.out
    assert "Changed, so embedded anew as a whole: genes.fna." in said.err
    assert report(output)["seem_nucleotides"] == []


def test_records_that_share_an_id_are_counted_by_a_plan_and_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, ids in (("a.faa", "my my x"), ("b.faa", "x y")):
        text = "".join(f">{given}\n{PROTEIN}\n" for given in ids.split())
        (tmp_path / name).write_text(text)
    sentence = "4 records have an id, the first word of the header, that another one has too"
    given = ("--model", "demo", "--input", tmp_path / "*.faa")
    assert exit_code_of(plan.main, *given) == 0
    assert f"Ids: {sentence}" in capsys.readouterr().out
    assert exit_code_of(run.main, *given, "--output", tmp_path / "out") == 0
    assert sentence in capsys.readouterr().out
    assert report(tmp_path / "out")["sharing_an_id"] == 4
    (part,) = (tmp_path / "out/embeddings").iterdir()
    part.write_bytes(b"no Parquet")
    root = str(tmp_path / "out")
    assert count_sharing_an_id(root, read_commits(root)) is None


@pytest.mark.parametrize(
    ("others", "told"),
    [
        (["proteins.txt", "z.csv"], "2 files, the first: proteins.txt"),
        (["a\x1b[31m.txt"], "1 file, a\\x1b[31m.txt"),
    ],
)
def test_the_first_file_without_a_fasta_name_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], others: list[str], told: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.faa").write_text(f">p\n{PROTEIN}\n")
    for name in others:
        (folder / name).write_text("")
    args = ("--input", folder, "--model", "demo")
    for main, more in ((plan.main, ()), (run.main, ("--output", tmp_path / "out"))):
        assert exit_code_of(main, *args, *more) == 0
        shown = capsys.readouterr().out
        assert f"Passed over, as hidden or for want of a FASTA name: {told}." in shown
