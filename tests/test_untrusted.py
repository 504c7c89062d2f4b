"""Tests that a FASTA of a stranger can do no harm: to other files, the terminal or the memory."""

from __future__ import annotations

import ast
import gzip
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from pipeline.run import main
from tests.command import exit_code_of
from tests.helpers import files_below
from tests.outputs import dead_letters, lines, pt, rows
from tests.processes import REPO

exit_code = partial(exit_code_of, main)

MODULES = sorted([*REPO.glob("pipeline/**/*.py"), *REPO.glob("transforms/**/*.py")])

# Modules that execute what they are given to read, and calls that do.
FORBIDDEN_IMPORTS = {
    "_pickle", "cPickle", "cloudpickle", "code", "dbm", "dill", "importlib.util", "joblib",
    "marshal", "pickle", "pty", "runpy", "shelve", "subprocess",
}  # fmt: skip
FORBIDDEN_CALLS = {
    "__import__", "compile", "eval", "exec", "os.popen", "os.system", "read_pickle", "yaml.load",
}  # fmt: skip

# The one starts Beam's own engine, by a command that Beam makes, the other this very program, with
# the arguments that it was given; they read no input.
ALLOWED = {"pipeline/runners.py": ["subprocess"], "pipeline/sharding/gpus.py": ["subprocess"]}


def dotted(node: ast.expr) -> str:
    """The name of what is called, as it is written."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def faults_of(source: str) -> Iterator[str]:
    """What in a module could execute what it reads."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names if name.name in FORBIDDEN_IMPORTS)
            case ast.ImportFrom(module=str(module), names=names):
                imported = {module, *(f"{module}.{name.name}" for name in names)}
                yield from imported & FORBIDDEN_IMPORTS
                yield from imported & FORBIDDEN_CALLS
            case ast.Call(func=func, keywords=keywords):
                name = dotted(func)
                given = {each.arg: each.value for each in keywords}
                if name in FORBIDDEN_CALLS or name.rpartition(".")[2] == "read_pickle":
                    yield name
                if name == "torch.load" and not is_constant(given.get("weights_only"), True):
                    yield "torch.load without weights_only=True"
                if name in ("np.load", "numpy.load") and "allow_pickle" in given:
                    yield "np.load with allow_pickle"
                if "shell" in given:
                    yield "shell"
                if not is_constant(given.get("trust_remote_code", ast.Constant(False)), False):
                    yield "trust_remote_code"


def is_constant(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_module_can_execute_what_it_reads(path: Path) -> None:
    allowed = ALLOWED.get(path.relative_to(REPO).as_posix(), [])
    assert list(faults_of(path.read_text())) == allowed


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "from pickle import loads", "import shelve", "import marshal as m",
        "import subprocess", "eval('1')", "exec(text)", "os.system('ls')", "from os import system",
        "subprocess.run('ls', shell=True)", "torch.load(path)", "np.load(p, allow_pickle=True)",
        "torch.load(path, weights_only=False)", "torch.load(path, weights_only=flag)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)", "pd.read_pickle(path)",
    ],
)  # fmt: skip
def test_what_could_would_be_found(source: str) -> None:
    assert list(faults_of(source))


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for whatever a run may write, and the current one."""
    for name in ("work", "tmp", "home"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    return tmp_path


HOSTILE_IDS = [
    "../../etc/passwd",
    "..",
    "/etc/passwd",
    "/" + "a/" * 100,
    "x" * 10_000,
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\u202egpj.faa",
    "=cmd()",
    '=HYPERLINK("http://x")',
    "|",
    "a|",
    "<script>alert(1)</script>",
    "$(touch${IFS}owned)",
    "`touch${IFS}owned`",
    "';DROP/**/TABLE--",
    "%s%s%n",
    "{0.__class__}",
    "NUL",
    "~root",
    "-rf",
]


def test_hostile_ids_are_kept_as_they_are_and_do_nothing(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = "".join(f">{name} {name}\nMKTAYIAKQR\n" for name in HOSTILE_IDS)
    bad = "".join(f">{name} {name}\nMK1\n" for name in HOSTILE_IDS)
    (workplace / "in").mkdir()
    (workplace / "in/hostile.faa").write_text(good + bad)
    out = workplace / "out"
    assert exit_code("--input", workplace / "in", "--output", out, "--model", "demo") == 3

    assert [name for name in files_below(workplace) if not name.startswith("out/")] == [
        "in/hostile.faa"
    ]
    assert files_below(out / "pt") == ["hostile_ESM.failures.jsonl", "hostile_ESM.pt"]
    assert pt(out, "hostile")["proteins"] == HOSTILE_IDS
    assert [row["id"] for row in rows(out)] == HOSTILE_IDS
    letters = lines(out / "pt/hostile_ESM.failures.jsonl")
    assert [letter["id"] for letter in letters] == HOSTILE_IDS

    log = (out / "extraction_failures.log").read_text().removesuffix("\n").split("\n")
    assert len(log) == len(HOSTILE_IDS)
    assert {line.count(" | ") for line in log} == {4}
    said = capsys.readouterr()
    for text in (*log, *said.out.split("\n"), *said.err.split("\n")):
        assert text.isprintable()
    assert len(max(said.out.split("\n"), key=len)) < 2_000


HOSTILE_NAMES = [
    "with blank",
    "with 'quotes' and \"more\"",
    "line\nbreak",
    "\x1b[31mred",
    "蛋白質 é 🧬",
    "$(touch${IFS}owned)",
    "a | b",
    "-rf",
    "dots..",
    "*",
    "[a-z]?",
    "%s",
    "back\\slash",
]


def test_hostile_file_names_name_their_pt_and_do_nothing(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workplace / "in" / "sub dir\n2").mkdir(parents=True)
    for name in HOSTILE_NAMES:
        (workplace / "in" / f"{name}.faa").write_text(">p1\nMKTAYIAKQR\n>p2\nMK1\n")
        packed = gzip.compress(b">p1\nMKTAYIAKQR\n")[:-1]
        (workplace / "in/sub dir\n2" / f"{name}.faa.gz").write_bytes(packed)
    out = workplace / "out"
    assert exit_code("--input", workplace / "in", "--output", out, "--model", "demo") == 3
    for name in HOSTILE_NAMES:
        assert pt(out, name)["proteins"] == ["p1"]
    assert len(files_below(out / "pt")) == 2 * len(HOSTILE_NAMES)
    assert {name.partition("/")[0] for name in files_below(workplace)} == {"in", "out"}
    log = (out / "extraction_failures.log").read_text().removesuffix("\n").split("\n")
    assert len(log) == 2 * len(HOSTILE_NAMES)
    assert {line.count(" | ") for line in log} == {4}
    said = capsys.readouterr()
    for text in (*log, *said.out.split("\n"), *said.err.split("\n")):
        assert text.isprintable()


def test_a_name_that_a_terminal_would_obey_is_escaped_in_an_error(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workplace / "in").mkdir()
    for suffix in ("faa", "fasta"):
        (workplace / f"in/\x1b[31mtwo\nlines.{suffix}").write_text(">p1\nMKTAYIAKQR\n")
    assert exit_code("--input", workplace / "in", "--output", "out", "--model", "demo") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert line.isprintable()
    assert r"\x1b[31mtwo\nlines.fasta" in line


MEASURED = """
import resource, sys
from pipeline.run import main
for folder in sys.argv[1:]:
    try:
        main(["--input", folder, "--output", folder + "-out", "--model", "demo", "--quiet"])
    except SystemExit as ended:
        print(ended.code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_a_giant_record_is_a_dead_letter_and_no_memory(tmp_path: Path) -> None:
    small, giant = tmp_path / "small", tmp_path / "giant"
    small.mkdir()
    giant.mkdir()
    (small / "a.faa").write_text(">a\nMKTAYIAKQR\n")
    size = 500_000_000  # 2 GB do no more, but take minutes
    block = (b"MKTAYIAKQR" * 7 + b"\n") * 118_149  # 8 MB
    with (giant / "giant.faa").open("wb") as handle:
        handle.write(b">giant\n")
        while handle.tell() < size:
            handle.write(block)
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, small, giant],
        cwd=REPO, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    (giant / "giant.faa").unlink()
    assert "Traceback" not in done.stderr, done.stderr
    code, peak, giant_code, giant_peak = map(int, done.stdout.split())
    assert (code, giant_code) == (0, 3)
    (found,) = dead_letters(tmp_path / "giant-out")
    assert (found["id"], found["error_type"], found["sequence"]) == ("giant", "too_long", None)
    assert found["length"] >= size * 69 // 71
    assert giant_peak - peak < 200
