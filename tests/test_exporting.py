"""Tests of ``python -m pipeline.export``: what it writes, read back by the library it is for."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml

from pipeline import export
from pipeline.exports import formats, source, to_csv, to_npz
from pipeline.exports.target import Target
from tests.command import exit_code_of
from tests.helpers import (
    DIM,
    commit,
    files_below,
    make_block,
    make_dead_letter,
    make_output,
    make_protein,
    vector_of,
)
from transforms.errors import ConfigurationError
from transforms.items import Protein
from transforms.output.commits import EMBEDDINGS, Output, read_part_record, write_part_record
from transforms.output.configuration import write_configuration
from transforms.output.parquet import to_matrix

DOCS = (Path(__file__).parents[1] / "docs/exporting.md").read_text()
SUFFIXES = {"anndata": "h5ad", "hf": "dataset"}
Rows = tuple[list[str], np.ndarray]


def make(tmp_path: Path, *parts: Iterable[Protein], dim: int = DIM) -> Output:
    """An output of some parts, the last of which comes first by name."""
    configuration = {"dim": dim, "layers": 2, "model": "demo", "revision": "", "dtype": "float32"}
    output = make_output(tmp_path, configuration=tuple(configuration.items()))
    write_configuration(output.root, configuration)
    for number, proteins in enumerate(parts):
        block = make_block(*proteins, dim=dim)
        letter = make_dead_letter(9) if number == 0 else None
        commit(output, block, *filter(None, [letter]), sequence=20 - number)
    return output


A = [make_protein(i, id=f"sp|P1234{5 - i}|NAME{i}", description="") for i in range(5)]
B = [make_protein(i, "sub/b.fa", id=name) for i, name in enumerate(["b,1", 'b"2', "b'3é", "=4()"])]


@pytest.fixture
def output(tmp_path: Path) -> Output:
    """Nine rows in three parts that count, and a part that has been replaced."""
    made = make(tmp_path, A[:3], [*A[3:], B[0]], B[1:])
    old = commit(made, make_block(make_protein(0, "old.fa")), sequence=0)
    counting = read_part_record(made.root, "part-run1-0-18")
    write_part_record(made.root, replace(counting, replaces=(old,)))
    return made


def run(output: Output, to: str, out: Path | str, *more: str) -> int:
    return exit_code_of(export.main, output.root, "--to", to, "--out", out, *more)


def run_whole(output: Output, to: str, out: Path, *more: str) -> None:
    for name in formats.FORMATS[to].packages:
        pytest.importorskip(name)
    assert run(output, to, out, *more) == 0
    assert not list(out.parent.glob(".*"))


def read_h5(path: Path) -> Rows:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path) as file:
        assert file.attrs["model_name"] == "demo"
        return list(file), np.stack([file[key][()] for key in file])


def read_npz(path: Path) -> Rows:
    with np.load(path) as arrays:
        assert json.loads(str(arrays["provenance"]))["model"] == "demo"
        assert arrays["sources"].shape == arrays["ordinals"].shape == arrays["ids"].shape
        return arrays["ids"].tolist(), arrays["embeddings"]


def read_csv(path: Path) -> Rows:
    with path.open(newline="", encoding="utf-8") as handle:
        header, *rows = csv.reader(handle)
    start = len(to_csv.COLUMNS)
    assert tuple(header[:start]) == to_csv.COLUMNS
    return [row[0] for row in rows], np.array([row[start:] for row in rows]).astype(np.float32)


def read_pt(path: Path) -> Rows:
    content = torch.load(path, weights_only=True)
    return content["proteins"], torch.stack(content["data"]).numpy()


def read_anndata(path: Path) -> Rows:
    found = pytest.importorskip("anndata").read_h5ad(path)
    assert found.uns["provenance"]["model"] == "demo"
    assert {"id", "accession", "source", "ordinal"} <= set(found.obs.columns)
    return found.obs_names.tolist(), found.X


def read_hf(path: Path) -> Rows:
    datasets = pytest.importorskip("datasets")
    cache = str(path.with_name("cache"))
    found = datasets.load_dataset(str(path), split="train", cache_dir=cache).with_format("numpy")
    return list(found["id"]), np.asarray(found["embedding"])


def read_lance(path: Path) -> Rows:
    table = pytest.importorskip("lance").dataset(str(path)).to_table(columns=["id", "embedding"])
    return table["id"].to_pylist(), to_matrix(table["embedding"])


READERS = {
    "h5": read_h5, "npz": read_npz, "csv": read_csv, "pt": read_pt, "anndata": read_anndata,
    "hf": read_hf, "lance": read_lance,
}  # fmt: skip


def assert_equal(found: Rows, proteins: Iterable[Protein], dim: int = DIM) -> None:
    keys, vectors = found
    wanted = {protein.id: vector_of(protein, dim) for protein in proteins}
    assert sorted(keys) == sorted(wanted)
    assert vectors.dtype == np.float32
    assert vectors.tobytes() == np.stack([wanted[key] for key in keys]).tobytes()


def test_a_file_that_has_failed_is_not_told_of_as_unfinished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make(tmp_path)
    commit(made, make_block(*A), make_dead_letter(None, "broken.fa.gz"))
    assert run(made, "npz", tmp_path / "x.npz") == 0
    said = capsys.readouterr().err
    assert "not finished yet: 1 file, " in said
    assert "1 file failed, of which there is no vector." in said


@pytest.mark.parametrize("to", formats.FORMATS)
def test_what_is_read_back_is_what_is_committed(
    to: str, output: Output, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / f"x.{SUFFIXES.get(to, to)}"
    run_whole(output, to, out)
    found = READERS[to](out)
    assert_equal(found, [*A, *B])
    if to != "h5":  # which is sorted by key
        assert found[0] == [protein.id for protein in [*A, *B]]
    said = capsys.readouterr()
    assert "9 rows of 4 values, as many as are committed" in said.out
    assert "1 record failed" in said.err
    assert "not finished yet: 2 files" in said.err

    # The same command does not replace it, and with --overwrite it does.
    before = {name: (out / name).stat().st_ino for name in files_below(out)} or out.stat().st_ino
    assert run(output, to, out) == 2
    assert "is there already" in capsys.readouterr().err
    assert run(output, to, out, "--overwrite") == 0
    after = {name: (out / name).stat().st_ino for name in files_below(out)} or out.stat().st_ino
    assert after != before
    assert not list(out.parent.glob(".*"))
    assert_equal(READERS[to](out), [*A, *B])


@pytest.mark.parametrize("to", formats.FORMATS)
def test_the_docs_say_how_it_is_read(
    to: str, output: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = re.search(rf"^\| `{to}` .*`((\w+)\..*\"(proteins[.a-z0-9]*)\".*)` \|$", DOCS, re.M)
    assert row
    code, module, name = row.groups()
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    run_whole(output, to, tmp_path / name, *(["--key", "accession"] if to == "h5" else []))
    found = eval(code, {module: pytest.importorskip(module)})
    assert len(found) == {"h5": DIM, "pt": 2}.get(to, 9)


@pytest.mark.slow
@pytest.mark.parametrize("to", formats.FORMATS)
def test_20_000_rows(to: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp() / "many"
    proteins = [make_protein(i) for i in range(20_000)]
    if not folder.exists():
        made = make(folder, proteins[:8000], proteins[8000:9000], proteins[9000:], dim=32)
    else:
        made = make_output(folder)
    out = folder / f"x.{SUFFIXES.get(to, to)}"
    run_whole(made, to, out)
    assert_equal(READERS[to](out), proteins, dim=32)


@pytest.mark.parametrize("to", [name for name, f in formats.FORMATS.items() if f.needs_unique_keys])
def test_a_key_of_two_rows_is_refused(
    to: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same = [make_protein(i, "a.fa" if i < 3 else "b.fa", id="same") for i in range(4)]
    made = make(tmp_path, same[:2], [*same[2:], make_protein(7, "b.fa")])
    out = tmp_path / "x"
    run_whole(made, to, out, "--key", "source_ordinal")
    keys, vectors = READERS[to](out)
    wanted = {f"{p.source}:{p.ordinal}": vector_of(p) for p in [*same, make_protein(7, "b.fa")]}
    assert sorted(keys) == sorted(wanted)
    assert np.array_equal(vectors, [wanted[key] for key in keys])
    capsys.readouterr()
    assert run(made, to, tmp_path / "y") == 2
    said = capsys.readouterr().err
    assert "4 rows share their id with another row, such as 'same'" in said
    assert "--key source_ordinal" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "x"]


@pytest.mark.parametrize("to", ["npz", "pt"])
def test_where_no_row_is_lost_by_it_a_key_of_two_rows_is_told(
    to: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make(tmp_path, [make_protein(i, id="same") for i in range(3)])
    assert run(made, to, tmp_path / "x") == 0
    assert "note: 3 rows share their id with another row" in capsys.readouterr().err
    keys, vectors = READERS[to](tmp_path / "x")
    assert keys == ["same"] * 3
    assert np.array_equal(vectors, [vector_of(make_protein(i)) for i in range(3)])


def test_a_line_of_csv_tells_what_the_row_is(tmp_path: Path) -> None:
    told = {"description": 'a "b", c', "sequence": "MKTAYIAK", "residues_used": 5}
    made = make(tmp_path, [make_protein(0, **told), make_protein(1, description="")])
    assert run(made, "csv", tmp_path / "x.csv") == 0
    with (tmp_path / "x.csv").open(newline="", encoding="utf-8") as handle:
        first, second = csv.DictReader(handle)
    assert (first["description"], first["sequence_length"]) == ('a "b", c', "8")
    assert (first["truncated"], second["truncated"], second["description"]) == ("true", "false", "")


def test_a_row_is_named_by_its_accession_or_else_by_its_id(output: Output, tmp_path: Path) -> None:
    assert run(output, "npz", tmp_path / "x", "--key", "accession") == 0
    keys, _ = read_npz(tmp_path / "x")
    assert keys == [*(f"P1234{5 - i}" for i in range(5)), *(protein.id for protein in B)]


def test_h5_keys_with_a_slash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    h5py = pytest.importorskip("h5py")
    names = ["A0A/1-9", "B/2", "C"]
    made = make(tmp_path, [make_protein(i, id=name) for i, name in enumerate(names)])
    assert run(made, "h5", tmp_path / "x.h5") == 2
    said = capsys.readouterr().err
    assert "2 rows cannot be named by id in --to h5: 'A0A/1-9' has a /" in said
    assert "--replace_slash _" in said
    assert run(made, "h5", tmp_path / "x.h5", "--replace_slash", "_") == 0
    with h5py.File(tmp_path / "x.h5") as file:
        assert list(file) == ["A0A_1-9", "B_2", "C"]
        assert file["B_2"].attrs["original_id"] == "B/2"
    # What two keys become is a key of two rows.
    more = make(tmp_path / "more", [make_protein(i, id=n) for i, n in enumerate(["a/b", "a_b"])])
    assert run(more, "h5", tmp_path / "y.h5", "--replace_slash", "_") == 2
    assert "such as 'a_b'" in capsys.readouterr().err


def test_protspace_reads_h5(output: Output, tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    loader = pytest.importorskip("protspace.data.loaders.h5")
    run_whole(output, "h5", tmp_path / "x.h5", "--key", "accession")
    found = loader.load_h5([tmp_path / "x.h5"])
    assert found.name == "demo"
    ids = {protein.id.split("|")[1] if "|" in protein.id else protein.id: protein
           for protein in [*A, *B]}  # fmt: skip
    assert sorted(found.headers) == sorted(ids)
    wanted = np.stack([vector_of(ids[key]) for key in found.headers])
    assert found.data.tobytes() == wanted.tobytes()


def test_nothing_is_left_of_an_export_that_fails(
    output: Output,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "x").write_text("the one before")

    def fails(code: int, *said: str) -> None:
        assert run(output, "npz", tmp_path / "x", "--overwrite") == code
        error = capsys.readouterr().err
        assert all(text in error for text in said), error
        assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "x"]
        assert (tmp_path / "x").read_text() == "the one before"

    def full(path: str, source: object) -> None:
        Path(path).write_text("half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(
            "pipeline.exports.exporting.load_format", lambda name: SimpleNamespace(write=full)
        )
        fails(1, "No space left on device", "Nothing was written")
    with monkeypatch.context() as patched:
        patched.setattr("pipeline.exports.to_npz.count", lambda path: 8)
        fails(1, "has 9 rows, but 8 were found")

    # A part that goes in the middle, as it does when it is merged.
    name = read_part_record(output.root, "part-run1-0-19").embeddings
    part = Path(output.root) / EMBEDDINGS / str(name)
    content = part.read_bytes()
    read_all_rows = source.read_all_rows

    def vanish(root: str, name: str) -> object:
        part.unlink(missing_ok=True)
        return read_all_rows(root, name)

    with monkeypatch.context() as patched:
        patched.setattr(source, "read_all_rows", vanish)
        fails(1, part.name, "give the same command again")
    part.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    fails(2, part.name, "is damaged")


def test_what_may_not_be_replaced_is_refused(
    output: Output, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    for out, said in {
        tmp_path / "folder": "is a folder",
        Path(output.root) / "embeddings/x.csv": "lies in the output itself",
        Path(output.root): "lies in the output itself",
    }.items():
        assert run(output, "csv", out, "--overwrite") == 2
        assert said in capsys.readouterr().err
    assert run(output, "csv", "gs://bucket/x.csv") == 2
    assert "is not on this machine" in capsys.readouterr().err
    assert run(output, "csv", tmp_path / "\udcff.csv") == 2
    assert r"\udcff.csv' is not UTF-8" in capsys.readouterr().err
    assert run(output, "csv", tmp_path / "x.csv", "--key", "accession") == 2
    assert "--key is not for --to csv" in capsys.readouterr().err
    assert run(output, "csv", tmp_path / "x.csv", "--license", "mit") == 2
    assert "--license is for the card of --to hf" in capsys.readouterr().err


def test_where_there_is_nothing_to_export(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_output(tmp_path)
    assert run(made, "csv", tmp_path / "x.csv") == 2
    assert "is not an output" in capsys.readouterr().err
    made = make(tmp_path / "more")
    assert run(made, "csv", tmp_path / "x.csv") == 2
    assert "holds no embedded record" in capsys.readouterr().err


def test_an_npz_is_written_in_small_pieces_however_long_an_id_is() -> None:
    dtype = np.dtype("<U60000")
    pieces = list(to_npz._arrays([[str(n) for n in range(100)], ["x"], []], dtype))
    assert max(piece.nbytes for piece in pieces) <= 8 << 20
    assert np.concatenate(pieces).tolist() == [*map(str, range(100)), "x"]


def test_the_card_of_a_dataset(output: Output, tmp_path: Path) -> None:
    assert run(output, "hf", tmp_path / "x", "--license", "cc-by-4.0") == 0
    card = (tmp_path / "x/README.md").read_text()
    _, front, body = card.split("---\n", 2)
    told = yaml.safe_load(front)
    assert told["license"] == "cc-by-4.0"
    assert told["configs"][0]["data_files"] == [{"split": "train", "path": "data/train-*.parquet"}]
    for text in (
        "| proteins | 9 |",
        "| input files | 2 |",
        "| records that failed, and are not here | 1 |",
        "| median | 6 residues |",
        "whose weights are random",
        "| model | `demo` |",
    ):
        assert text in body, text
    assert len(list((tmp_path / "x/data").iterdir())) == 3
    # What somebody has added to the folder is not deleted.
    for name in ("notes.txt", "data/notes.parquet"):
        (tmp_path / "x" / name).write_text("mine")
        assert run(output, "hf", tmp_path / "x", "--overwrite") == 2
        assert (tmp_path / "x" / name).read_text() == "mine"
        (tmp_path / "x" / name).unlink()
    assert run(output, "hf", tmp_path / "x", "--overwrite") == 0


@pytest.mark.parametrize("to", ["hf", "lance"])
@pytest.mark.parametrize("name", ["README.md", "data/mine.csv", "data/mine.lance"])
def test_a_folder_that_only_looks_like_an_export_is_not_replaced(
    to: str, name: str, tmp_path: Path
) -> None:
    mine = tmp_path / "mine" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    target = Target(str(tmp_path / "mine"), True, formats.FORMATS[to].contents)
    with pytest.raises(ConfigurationError, match=f"holds {name}, which is no part of an export"):
        target.check()


def test_an_output_is_not_replaced_by_its_own_export(
    output: Output, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(output.root, run_dir / "data")
    link = tmp_path / "link"
    link.symlink_to(run_dir / "data", target_is_directory=True)
    before = files_below(run_dir)
    for out, said in {
        run_dir: "holds the output itself",
        link: "lies in the output itself",
        link / "embeddings/x": "lies in the output itself",
    }.items():
        inner = replace(output, root=str(run_dir / "data"))
        assert run(inner, "hf", out, "--overwrite") == 2
        assert said in capsys.readouterr().err
    assert files_below(run_dir) == before


def test_a_link_stays_a_link_and_what_it_leads_to_is_replaced(
    output: Output, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "there", target_is_directory=True)
    for more in ([], ["--overwrite"]):
        assert run(output, "hf", link, *more) == 0
        assert link.is_symlink()
        assert files_below(tmp_path / "there") == files_below(link) != {}
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("to", [name for name, form in formats.FORMATS.items() if form.packages])
def test_a_package_that_is_missing_is_named(
    to: str,
    output: Output,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    imported, package = next(iter(formats.FORMATS[to].packages.items()))
    monkeypatch.setitem(sys.modules, imported, None)
    assert run(output, to, tmp_path / "x") == 2
    said = capsys.readouterr().err
    assert f"--to {to} needs {package}" in said
    assert "-m pip install -c " in said
    assert said.rstrip().endswith("[export]'")
    assert not (tmp_path / "x").exists()


def test_help_and_docs_name_every_format() -> None:
    described = re.findall(r"^  (\w+)  +\S", export.DESCRIPTION, re.MULTILINE)
    assert tuple(described) == tuple(formats.FORMATS)
    documented = re.findall(r"^\| `(\w+)` \|", DOCS, re.M)
    assert tuple(documented) == tuple(formats.FORMATS)
