"""Tests of ``python -m pipeline.verify``: each fault is planted, plain and with covered tracks."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
import torch

from pipeline import run, verify
from pipeline.verification import walk
from pipeline.verification.sample import Sample
from tests.command import exit_code_of, said_by
from tests.helpers import files_below, sha256
from transforms.output.commits import read_commits
from transforms.output.locks import hold
from transforms.output.parquet import encode_table, read_table, to_matrix
from transforms.times import iso

# Small batches, so that there are several parts.
ARGS = ("--model", "demo", "--truncation_seq_length", "60", "--toks_per_batch", "64", "--quiet")
DIM = 128


def random_fasta(count: int, seed: int) -> str:
    """Records of which none has the sequence of another."""
    draw = random.Random(seed)
    sequences = ("".join(draw.choices("ACDEFGHIKLMNPQRSTVWY", k=20 + i)) for i in range(count))
    return "".join(f">{seed}-{i} number {i}\n{s}\n" for i, s in enumerate(sequences))


def run_pipeline(*args: str | Path) -> int:
    return exit_code_of(run.main, *args, *ARGS)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output of three files with several parts, dead letters and a file that failed."""
    folder = tmp_path_factory.mktemp("verify")
    (folder / "in/deep").mkdir(parents=True)
    (folder / "in/a.faa").write_text(
        random_fasta(90, 1) + ">digit\nMK1\n>star\nMKV*\n>empty\n>j lower\nmkj\n"
    )
    (folder / "in/deep/b.faa").write_text(random_fasta(5, 2))
    (folder / "in/cut.faa.gz").write_bytes(gzip.compress(random_fasta(9, 3).encode())[:-9])
    (folder / "in/none.faa").write_text("")
    assert run_pipeline("--input", folder / "in", "--output", folder / "out") == 3
    held = read_commits(str(folder / "out")).parts.values()
    assert len([p for p in held if "a.faa" in p.sources and p.sources["a.faa"].rows]) > 1
    return folder / "out"


@pytest.fixture
def out(clean: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clean, tmp_path / "out"))


Verify = Callable[..., tuple[int, str]]


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Verify:
    """Verifies in this process; returns the exit code and what was said."""

    def call(out: Path, *args: str | Path) -> tuple[int, str]:
        options = args if "--sample" in args else ("--sample", "0", *args)
        code, *said = said_by(verify.main, capsys, out, *options)
        return code, "".join(said)

    return call


Finds = Callable[..., str]


@pytest.fixture
def finds(check: Verify) -> Finds:
    """Verifies an output in which something is wrong, as it must say; returns all that it says."""

    def call(out: Path, *told: str, sample: int = 0) -> str:
        code, said = check(out, "--sample", sample)
        assert code == 1, said
        for text in told:
            assert text in said
        return said

    return call


# How faults are planted.


def edit_json(path: Path, edit: Callable[[Any], object]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def part_of(out: Path, source: str = "a.faa", least: int = 10) -> str:
    """A part with several rows of a file."""
    held = read_commits(str(out)).parts.values()
    return next(p.part for p in held if source in p.sources and p.sources[source].rows >= least)


def read_part(out: Path, part: str) -> pa.Table:
    name = read_commits(str(out)).parts[part].embeddings
    return read_table((out / "embeddings" / str(name)).read_bytes())


def rewrite(out: Path, change: Callable[[pa.Table], pa.Table], covered: bool = True) -> pa.Table:
    """Changes the rows of a part; returns those that it had."""
    part = part_of(out)
    table = read_part(out, part)
    write_part(out, part, change(table), covered)
    return table


def rearrange(out: Path, choose: Callable[[int], list[int]], covered: bool) -> pa.Table:
    """Writes a part with other rows than it has, by position; returns those that it had."""
    return rewrite(out, lambda table: rows_in_order(table, choose(len(table))), covered)


def write_part(out: Path, part: str, table: pa.Table, covered: bool = False) -> None:
    """Writes other rows into a part; covered: under their digest, with a commit that agrees."""
    record = read_commits(str(out)).parts[part]
    assert record.embeddings
    data, old = encode_table(table), out / "embeddings" / record.embeddings
    if not covered:
        old.write_bytes(data)
        return
    old.unlink()
    name = f"{part}-{sha256(data)[:16]}.parquet"
    (out / "embeddings" / name).write_bytes(data)
    counts = {c["values"]: c["counts"] for c in pc.value_counts(table["source"]).to_pylist()}

    def edit(commit: Any) -> None:
        commit["embeddings"] = name
        for source, held in commit["sources"].items():
            held["rows"] = counts.get(source, 0)

    edit_json(out / f"commits/{part}.json", edit)


def edit_file_record(out: Path, source: str, **changes: object) -> None:
    for path in (out / "commits").glob("files-*.json"):
        edit_json(
            path,
            lambda content: [f.update(changes) for f in content["files"] if f["source"] == source],
        )


def with_vectors(table: pa.Table, vectors: np.ndarray) -> pa.Table:
    column = table.schema.get_field_index("embedding")
    kind = table.schema.field(column).type
    array = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), type=kind)
    return table.set_column(column, table.schema.field(column), array)


def with_vector(table: pa.Table, row: int, change: Callable[[np.ndarray], Any]) -> pa.Table:
    vectors = to_matrix(table.column("embedding")).copy()
    vectors[row] = change(vectors[row])
    return with_vectors(table, vectors)


def rows_in_order(table: pa.Table, order: Iterable[int]) -> pa.Table:
    return table.take(pa.array(list(order)))


def flip_bit(table: pa.Table, row: int, bit: int = 0) -> pa.Table:
    def flipped(vector: np.ndarray) -> np.ndarray:
        vector.view(np.uint32)[3] ^= 1 << bit
        return vector

    return with_vector(table, row, flipped)


def swap(count: int, first: int, second: int) -> list[int]:
    order = list(range(count))
    order[first], order[second] = second, first
    return order


def save_pt(path: Path, ids: list[str], vectors: np.ndarray) -> None:
    torch.save({"proteins": ids, "data": list(torch.from_numpy(vectors).unbind(0))}, path)


def rewrite_pt(out: Path, source: str, stem: str, change: Callable[[list[str], Any], Any]) -> None:
    """Changes a ``.pt`` and the digest in its file's record."""
    path = out / f"pt/{stem}_ESM.pt"
    held = torch.load(path, weights_only=True)
    ids, vectors = change(held["proteins"], torch.stack(held["data"]).numpy())
    save_pt(path, ids, vectors)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    edit_file_record(out, source, pt_sha256=digest)


# A clean output.


def test_the_command_says_one_line_about_a_clean_output(out: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.verify", str(out), "--sample", "0"],
        cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(
        r"97 rows in \d+ parts, 3 finished files: everything agrees.\n", done.stdout
    )


def test_a_clean_output_agrees_and_nothing_in_it_is_changed(out: Path, check: Verify) -> None:
    before = {name: (out / name).read_bytes() for name in files_below(out)}
    code, said = check(out, "--sample", "7")
    assert code == 0, said
    assert ds.dataset(out / "embeddings", format="parquet").count_rows() == 97
    assert "97 rows in" in said
    assert "3 finished files: everything agrees." in said
    assert "7 vectors computed again" in said
    assert {name: (out / name).read_bytes() for name in files_below(out)} == before


@pytest.mark.parametrize(
    "args",
    [
        ("--sinks", "parquet"),
        ("--pt_order", "length"),
        ("--long_sequences", "window"),
        ("--residues", "strict"),
        ("--dtype", "bfloat16"),
    ],
    ids=lambda args: args[0],
)
def test_a_clean_output_of_other_options_agrees(
    args: tuple[str, str], clean: Path, tmp_path: Path, check: Verify
) -> None:
    run_pipeline("--input", clean.parent / "in", "--output", tmp_path / "out", *args)
    code, said = check(tmp_path / "out", "--sample", "1000")
    assert code == 0, said


def test_json_says_the_same(out: Path, check: Verify) -> None:
    code, said = check(out, "--json", "--sample", "3", "--seed", "5")
    assert code == 0
    content = json.loads(said)
    assert (content["agrees"], content["rows"], content["files"]) == (True, 97, 3)
    assert (content["sampled"], content["seed"], content["differences"]) == (3, 5, [])
    (out / "pt/a_ESM.pt").unlink()
    code, said = check(out, "--json")
    assert code == 1
    (difference,) = json.loads(said)["differences"]
    assert difference == {
        "kind": "missing", "count": 1, "messages": ["pt/a_ESM.pt: is gone"],
    }  # fmt: skip


# The six faults, plain and covered.

COVERED = pytest.mark.parametrize("covered", [False, True], ids=["plain", "covered"])


@COVERED
def test_a_dropped_row_is_caught(covered: bool, out: Path, finds: Finds) -> None:
    table = rearrange(out, lambda rows: [*range(4), *range(5, rows)], covered)
    said = finds(out, f"a.faa: no outcome for record {table['ordinal'][4].as_py() + 1}")
    assert ("committed" in said and "SHA-256" in said) is not covered


@COVERED
def test_a_doubled_row_is_caught(covered: bool, out: Path, finds: Finds) -> None:
    table = rearrange(out, lambda rows: [*range(5), *range(4, rows)], covered)
    said = finds(out)
    where = f"a.faa, record {table['ordinal'][4].as_py() + 1}"
    assert f"{where} has more than one row" in said
    assert f"{where}: has 2 outcomes in the parts" in said
    assert ("SHA-256" in said) is not covered


@COVERED
def test_a_row_doubled_in_another_part_is_caught(covered: bool, out: Path, finds: Finds) -> None:
    first, *_, last = (
        p.part
        for p in read_commits(str(out)).parts.values()
        if "a.faa" in p.sources and p.sources["a.faa"].rows
    )
    table = pa.concat_tables([read_part(out, first).slice(0, 1), read_part(out, last)])
    order = pc.sort_indices(table, [("source", "ascending"), ("ordinal", "ascending")])
    write_part(out, last, table.take(order), covered)
    finds(out, "has 2 outcomes in the parts")


@COVERED
def test_two_swapped_rows_are_caught(covered: bool, out: Path, finds: Finds) -> None:
    rearrange(out, lambda rows: swap(rows, 4, 7), covered)
    said = finds(out, "order: embeddings/")
    assert ("SHA-256" in said) is not covered


@pytest.mark.parametrize("column", ["embedding", "id", "sequence_sha256"])
@COVERED
def test_two_rows_whose_contents_are_swapped_are_caught(
    column: str, covered: bool, out: Path, finds: Finds
) -> None:
    def swapped(table: pa.Table) -> pa.Table:
        at = table.schema.get_field_index(column)
        other = rows_in_order(table, swap(len(table), 4, 7)).column(at)
        return table.set_column(at, table.schema.field(at), other)

    table = rewrite(out, swapped, covered)
    said = finds(out)
    assert ".pt" in said or "input:" in said
    assert f"a.faa, record {table['ordinal'][7].as_py() + 1}" in said
    assert ("SHA-256 begins" in said) is not covered


@pytest.mark.parametrize("bit", [0, 22, 31])
@COVERED
def test_one_flipped_bit_in_a_vector_is_caught(
    bit: int, covered: bool, out: Path, finds: Finds
) -> None:
    table = rewrite(out, lambda table: flip_bit(table, 6, bit), covered)
    said = finds(out)
    where = f"a.faa, record {table['ordinal'][6].as_py() + 1}"
    assert f"pt/a_ESM.pt: the vector of {where} is not that of" in said
    assert ("SHA-256" in said) is not covered


def test_one_flipped_bit_anywhere_in_a_data_file_is_caught(
    out: Path, check: Verify, finds: Finds
) -> None:
    names = [n for n in files_below(out) if n.startswith(("embeddings", "dead_letters", "pt/"))]
    draw = random.Random(0)
    for name in names:
        whole = (out / name).read_bytes()
        for at in [*(draw.randrange(len(whole)) for _ in range(4)), 0, len(whole) - 1]:
            damaged = bytearray(whole)
            damaged[at] ^= 1 << draw.randrange(8)
            (out / name).write_bytes(damaged)
            finds(out, name)
        (out / name).write_bytes(whole)
    assert check(out)[0] == 0


@COVERED
def test_a_missing_part_is_caught(covered: bool, out: Path, finds: Finds) -> None:
    part = part_of(out)
    record = read_commits(str(out)).parts[part]
    (out / f"embeddings/{record.embeddings}").unlink()
    if covered:
        (out / f"commits/{part}.json").unlink()
        if record.dead_letters:
            (out / f"dead_letters/{record.dead_letters}").unlink()
    said = finds(out, "lost: a.faa: no outcome for record")
    assert (f"not committed: {part}" in said) is covered
    assert (f"{part} was committed with it; it is gone" in said) is not covered


@COVERED
def test_a_stale_pt_is_caught(covered: bool, out: Path, finds: Finds) -> None:
    stale = out / "pt/deep/b_ESM.pt"
    save_pt(stale, [f"2-{i}" for i in range(5)], np.ones((5, DIM), np.float32))
    if covered:
        edit_file_record(out, "deep/b.faa", pt_sha256=sha256(stale.read_bytes()))
    said = finds(out, "the vector of deep/b.faa, record 1 is not that of")
    assert ("SHA-256" in said) is not covered


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda ids, v: ([ids[1], ids[0], *ids[2:]], v), "its id 2 is not that of deep/b.faa"),
        (lambda ids, v: (ids, v[swap(5, 0, 1)]), "the vector of deep/b.faa, record 2 is not"),
        (lambda ids, v: (ids[::-1], v[::-1].copy()), "its id 1 is not that of deep/b.faa"),
        (lambda ids, v: (ids[:-1], v[:-1]), "4 ids and 4 vectors; the parts hold 5 rows"),
        (lambda ids, v: (ids, v[:, :9]), "is not float32 of 128 values"),
        (lambda ids, v: (ids, v.astype(np.float64)), "is not float32 of 128 values"),
    ],
)
def test_a_pt_that_differs_is_caught_whatever_its_record_says(
    change: Callable[[list[str], Any], Any], told: str, out: Path, finds: Finds
) -> None:
    rewrite_pt(out, "deep/b.faa", "deep/b", change)
    said = finds(out, told)
    assert "SHA-256" not in said


# Where even more is covered.


def test_a_row_dropped_everywhere_is_caught_by_the_input(out: Path, finds: Finds) -> None:
    part = part_of(out, "deep/b.faa", least=5)
    table = read_part(out, part)
    last = max(i for i, s in enumerate(table["source"].to_pylist()) if s == "deep/b.faa")
    kept = [i for i in range(len(table)) if i != last]
    write_part(out, part, rows_in_order(table, kept), covered=True)
    rewrite_pt(out, "deep/b.faa", "deep/b", lambda ids, vectors: (ids[:-1], vectors[:-1]))
    edit_file_record(out, "deep/b.faa", records=4, rows=4)

    def edit(report: Any) -> None:
        (told,) = (f for f in report["files"] if f["source"] == "deep/b.faa")
        told.update(read=4, embedded=4)
        report["totals"]["read"] -= 1
        report["totals"]["embedded"] -= 1

    edit_json(out / "run_report.json", edit)
    finds(out, "1 difference", "deep/b.faa: finished with 4 records", "the input has 5 records")


def test_vectors_swapped_everywhere_are_caught_by_the_sample(out: Path, check: Verify) -> None:
    part = part_of(out, "deep/b.faa", least=5)
    table = read_part(out, part)
    here = [i for i, s in enumerate(table["source"].to_pylist()) if s == "deep/b.faa"]
    vectors = to_matrix(table.column("embedding"))[swap(len(table), here[1], here[3])]
    write_part(out, part, with_vectors(table, vectors), covered=True)
    rewrite_pt(out, "deep/b.faa", "deep/b", lambda ids, v: (ids, v[swap(5, 1, 3)]))
    assert check(out)[0] == 0  # nothing but the model can tell
    code, said = check(out, "--sample", "1000")
    assert code == 1
    assert "2 differences" in said
    assert "sample: deep/b.faa, record 2: computed again, its vector differs by" in said
    assert "sample: deep/b.faa, record 4: computed again" in said


def test_without_pt_a_vector_of_another_model_is_caught_by_the_sample(
    clean: Path, tmp_path: Path, check: Verify
) -> None:
    out = tmp_path / "out"
    run_pipeline("--input", clean.parent / "in", "--output", out, "--sinks", "parquet")
    rewrite(out, lambda table: with_vector(table, 0, lambda vector: 1.001 * vector))
    assert check(out)[0] == 0
    assert check(out, "--sample", "1000")[0] == 1


# What else can be wrong with a part.


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0])
def test_vectors_that_should_have_been_refused_are_caught(
    value: float, out: Path, finds: Finds
) -> None:
    rewrite(out, lambda table: with_vector(table, 2, lambda _: value))
    finds(out, "vector: embeddings/")


def test_vectors_of_another_width_are_caught(out: Path, finds: Finds) -> None:
    part = part_of(out)
    table = read_part(out, part)
    narrow = to_matrix(table.column("embedding"))[:, :64].copy()
    kind = pa.list_(pa.field("element", pa.float32(), nullable=False), 64)
    array = pa.FixedSizeListArray.from_arrays(pa.array(narrow.reshape(-1)), type=kind)
    field = pa.field("embedding", kind, nullable=False)
    at = table.schema.get_field_index("embedding")
    write_part(out, part, table.set_column(at, field, array), covered=True)
    finds(out, "not as it must be for vectors of 128 values: embedding")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("residues_used", 7),
        ("sequence_length", 3),
        ("truncated", True),
        ("accession", "P12345"),
        ("model_id", "other"),
        ("model_revision", "other"),
        ("description", "other"),
        ("residue_changes", "upper-cased"),
    ],
)
def test_a_wrong_field_is_caught(column: str, value: object, out: Path, finds: Finds) -> None:
    part = part_of(out)
    table = read_part(out, part)
    at = table.schema.get_field_index(column)
    field = table.schema.field(at)
    changed = pa.array([value, *table.column(at).to_pylist()[1:]], field.type)
    write_part(out, part, table.set_column(at, field, changed), covered=True)
    finds(out)


def test_rows_made_with_another_configuration_are_caught(out: Path, finds: Finds) -> None:
    def made_otherwise(table: pa.Table) -> pa.Table:
        held = json.loads(table.schema.metadata[b"esm_embed"]) | {"fingerprint": "other"}
        return table.replace_schema_metadata({b"esm_embed": json.dumps(held).encode()})

    rewrite(out, made_otherwise)
    finds(out, "was made with another fingerprint")


def test_a_model_of_another_name_and_the_same_weights_is_the_same(out: Path, check: Verify) -> None:
    edit_json(out / "commits/output.json", lambda c: c.update(model="/where/it/was"))
    assert check(out)[0] == 0


@pytest.mark.parametrize("field", ["rows", "dead_letters", "sha256", "failed"])
def test_a_commit_that_says_something_else_is_caught(field: str, out: Path, finds: Finds) -> None:
    changed = {"rows": 1, "dead_letters": 7, "sha256": "f" * 64, "failed": True}
    part = part_of(out)
    edit_json(
        out / f"commits/{part}.json",
        lambda commit: commit["sources"]["a.faa"].update({field: changed[field]}),
    )
    finds(out)


def edit_dead_letters(out: Path, source: str, edit: Callable[[list[Any]], object]) -> str:
    """Changes the dead letters of the part that holds those of a file; returns its name."""
    held = read_commits(str(out)).parts.values()
    part = next(p for p in held if p.dead_letters and source in p.sources)
    path = out / f"dead_letters/{part.dead_letters}"
    letters = [json.loads(line) for line in path.read_text().splitlines()]
    edit(letters)
    data = "".join(f"{json.dumps(letter)}\n" for letter in letters)
    path.unlink()
    name = f"{part.part}-{sha256(data)[:16]}.jsonl"
    (out / "dead_letters" / name).write_text(data)
    edit_json(out / f"commits/{part.part}.json", lambda c: c.update(dead_letters=name))
    return part.part


def test_a_dead_letter_that_is_dropped_is_caught(out: Path, finds: Finds) -> None:
    part = edit_dead_letters(out, "a.faa", lambda letters: letters.pop())
    finds(out, f"count: {part}: ")


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("sequence", "MK2", "the sequence is not that of its SHA-256"),
        ("file_sha256", "f" * 64, "is of another version of its file"),
        ("ordinal", -1, "a dead letter has a field that cannot be"),
        ("id", "other", "its dead letter is of another id"),
        ("message", "other", "differs from the dead letters of a.faa"),
        ("more", "other", "a line is no dead letter"),
    ],
)
def test_a_dead_letter_that_is_changed_is_caught(
    field: str, value: object, told: str, out: Path, finds: Finds
) -> None:
    def edit(letters: list[Any]) -> None:
        next(d for d in letters if d["source"] == "a.faa")[field] = value

    edit_dead_letters(out, "a.faa", edit)
    finds(out, told)


def test_failures_that_are_gone_or_differ_are_caught(
    out: Path, check: Verify, finds: Finds
) -> None:
    path = out / "pt/a_ESM.failures.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0])
    finds(out, "differs from the dead letters of a.faa")
    path.unlink()
    assert "pt/a_ESM.failures.jsonl: is gone" in check(out)[1]
    path.write_bytes(b"".join(lines))
    shutil.copy(path, out / "pt/deep/b_ESM.failures.jsonl")
    finds(out, "pt/deep/b_ESM.failures.jsonl")


def test_a_damaged_commit_record_is_a_difference(out: Path, finds: Finds) -> None:
    path = out / f"commits/{part_of(out)}.json"
    whole = path.read_text()
    path.write_text(whole[:-9])
    finds(out, path.name)
    path.write_text(whole.replace('"sources"', '"sourcet"'))
    finds(out)


# Report and inputs.


def test_a_report_that_counts_otherwise_is_caught(out: Path, finds: Finds) -> None:
    edit_json(out / "run_report.json", lambda report: report["files"][0].update(embedded=1))
    finds(out, "run_report.json: a.faa: finished, read 94, embedded 1")


@pytest.mark.parametrize("how", ["gone", "old", "of a moment ago"])
def test_a_report_that_a_kill_kept_from_being_written_is_a_remark(
    how: str, out: Path, check: Verify
) -> None:
    path = out / "run_report.json"
    if how == "gone":
        path.unlink()
    elif how == "old":
        path.write_text('{"files": [], "totals": {}}')
    else:  # a watch is killed as it commits what comes next
        last = datetime.fromisoformat(read_commits(str(out)).latest())
        before = iso(last - timedelta(microseconds=1), "microseconds")
        edit_json(path, lambda report: report.update(committed_until=before, files=[]))
    code, said = check(out)
    assert code == 0
    assert "run_report.json" in said
    assert "not checked" in said


@pytest.fixture
def moved(clean: Path, tmp_path: Path) -> Path:
    """An output whose inputs may be changed."""
    shutil.copytree(clean.parent / "in", tmp_path / "in")
    run_pipeline("--input", tmp_path / "in", "--output", tmp_path / "out")
    return tmp_path / "out"


def test_an_input_that_has_changed_is_a_difference(moved: Path, finds: Finds) -> None:
    path = moved.parent / "in/deep/b.faa"
    path.write_text(path.read_text() + ">one more\nMKV\n")
    finds(moved, "has changed since: the output is out of date", "1 difference")


def test_once_a_changed_input_is_embedded_anew_all_agrees(
    moved: Path, check: Verify, finds: Finds
) -> None:
    path = moved.parent / "in/a.faa"
    path.write_text(path.read_text().replace(">1-7 ", ">MKV\nMKV\n>other ", 1))
    finds(moved)
    assert run_pipeline("--input", moved.parent / "in", "--output", moved) == 3
    code, said = check(moved, "--sample", "1000")
    assert code == 0, said
    assert "98 vectors computed again" in said


def test_an_input_that_is_gone_is_a_remark(moved: Path, check: Verify) -> None:
    (moved.parent / "in/a.faa").unlink()
    code, said = check(moved, "--sample", "1000")
    assert code == 0
    assert "input: a.faa: not checked" in said
    assert "5 vectors computed again" in said  # those of the other file
    assert "sample: 5 of 97 vectors were computed again" in said


def test_an_output_that_a_kill_left_unfinished_agrees(
    moved: Path, check: Verify, finds: Finds
) -> None:
    """What is committed of a file is checked, although the file is not finished."""
    for path in [*(moved / "commits").glob("files-*.json"), moved / "run_report.json"]:
        path.unlink()
    code, said = check(moved, "--sample", "1000")
    assert code == 0, said
    assert "97 vectors computed again" in said
    assert "leftover: pt/a_ESM.pt: its file is not finished" in said
    assert "leftover: pt/none_ESM.pt: is empty" in said
    part = part_of(moved)
    table = read_part(moved, part)
    write_part(moved, part, rows_in_order(table, [0, 0, *range(1, len(table))]), covered=True)
    finds(moved)


# Strays.


@pytest.mark.parametrize(
    "name",
    [
        "embeddings/notes.txt",
        "embeddings/part-x-0-0-0123456789abcdef.parquet",
        "embeddings/deep/part.parquet",
        "dead_letters/part-x.jsonl",
        "commits/notes.json",
        "pt/old_ESM.pt",
        "pt/cut_ESM.pt",
    ],
)
def test_a_stray_file_is_named(name: str, out: Path, finds: Finds) -> None:
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).write_bytes(b"x")
    finds(out, f"stray: {name}")


def test_what_a_killed_run_had_half_written_is_a_remark(out: Path, check: Verify) -> None:
    (out / ".staging").mkdir()
    (out / ".staging/0123456789abcdef").write_bytes(b"x")
    code, said = check(out)
    assert code == 0
    assert "leftover: .staging/0123456789abcdef" in said


def test_a_commit_under_two_names_is_caught(out: Path, finds: Finds) -> None:
    shutil.copy(out / f"commits/{part_of(out)}.json", out / "commits/part-copy.json")
    finds(out, "commits/part-copy.json")


def test_files_of_a_replaced_part_are_a_remark(out: Path, check: Verify) -> None:
    old = part_of(out)
    record = read_commits(str(out)).parts[old]
    commit = out / f"commits/{old}.json"
    new = json.loads(commit.read_text()) | {"part": "part-new-0-0", "replaces": [old]}
    name = f"part-new-0-0-{str(record.embeddings).rpartition('-')[2]}"
    shutil.copy(out / f"embeddings/{record.embeddings}", out / f"embeddings/{name}")
    new["embeddings"] = name
    (out / "commits/part-new-0-0.json").write_text(json.dumps(new))
    code, said = check(out)
    assert code == 0, said
    assert f"leftover: embeddings/{record.embeddings}" in said
    assert f"leftover: commits/{old}.json" in said


# When it cannot be verified, and how it is told.


def test_what_is_no_output_cannot_be_verified(tmp_path: Path, check: Verify) -> None:
    code, said = check(tmp_path)
    assert code == 2
    assert "is not an output" in said


def test_a_configuration_that_is_not_whole_cannot_be_verified(out: Path, check: Verify) -> None:
    edit_json(out / "commits/output.json", lambda c: c.pop("dim"))
    code, said = check(out)
    assert code == 2
    assert "does not tell what it was made with (dim" in said


def test_a_model_that_is_gone_or_another_cannot_be_verified(
    out: Path, tiny_checkpoint: Path, check: Verify
) -> None:
    code, said = check(out, "--sample", "3", "--model", tiny_checkpoint)
    assert code == 2
    assert "is not the model that the output was made with (demo)" in said
    assert "--sample 0" in said
    edit_json(out / "commits/output.json", lambda c: c.update(model="/where/it/was"))
    code, said = check(out, "--sample", "3")
    assert code == 2
    assert "--sample 0" in said
    assert check(out, "--sample", "3", "--model", "demo")[0] == 0


def test_an_output_in_which_a_run_is_at_work_is_left_alone(out: Path, check: Verify) -> None:
    with hold(str(out), "run1", interval=1.0):
        code, said = check(out)
    assert code == 2
    assert "run1" in said
    assert check(out)[0] == 0


def test_a_run_that_comes_and_goes_meanwhile_spoils_the_verification(
    out: Path, check: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = walk.read_commits

    def read_while_a_run_is_at_work(root: str) -> object:
        with hold(root, "run2", interval=1.0):
            return read(root)

    monkeypatch.setattr(walk, "read_commits", read_while_a_run_is_at_work)
    code, said = check(out)
    assert code == 2
    assert "meanwhile" in said


def test_many_differences_of_a_kind_are_cut_short(out: Path, finds: Finds) -> None:
    for i in range(22):
        (out / f"embeddings/{i}\x1b[2J\n.txt").write_text("")
    said = finds(out, "22 differences", "stray: and 12 more")
    assert "\x1b" not in said
    assert sum(line.startswith("  stray: ") for line in said.splitlines()) == 10 + 1
    assert "--overwrite makes it" in said


def test_the_same_seed_draws_the_same_sample_and_each_record_can_be_drawn() -> None:
    def draw(seed: int, size: int = 3, total: int = 10) -> list[int]:
        sample = Sample(size, seed)
        for row in range(total):
            sample.offer(None, "part", row)
        return sorted(each.row for each in sample.drawn)

    assert draw(1) == draw(1)
    drawn = [row for seed in range(300) for row in draw(seed)]
    assert all(60 < drawn.count(row) < 120 for row in range(10))
    assert draw(0, size=20) == list(range(10))
    assert draw(0, size=0) == []
