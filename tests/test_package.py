"""The shape of the project: what is installed, and who imports whom."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml

import pipeline
import transforms
from tests import room_tables
from tests.processes import REPO

CI = (REPO / ".ci/run").read_text()
MODULES = {
    ".".join(path.relative_to(REPO).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("pipeline", "transforms")
    for path in sorted((REPO / package).rglob("*.py"))
}

PARTS_OF_PAGES = [
    path
    for path in sorted((REPO / "pipeline").rglob("*"))
    if path.suffix in (".css", ".jinja", ".js")
]


DISTRIBUTIONS = {
    "apache_beam": "apache-beam",
    "esm": "fair-esm",
    "google": "google-cloud-pubsub",
    "grpc": "grpcio",
    "huggingface_hub": "huggingface-hub",
    "lance": "pylance",
    "prometheus_client": "prometheus-client",
    "sklearn": "scikit-learn",
    "umap": "umap-learn",
    "yaml": "pyyaml",
}
"""What is installed under another name than it is imported by."""

WHERE_THEY_ARE = {"triton"}
"""Used where it is, and never needed: torch brings it where there is CUDA."""

NOT_IMPORTED = {
    "mypy", "pytest-xdist", "ruff",  # programs that .ci/run starts
    "onnx", "onnxscript",  # torch.onnx.export imports them
}  # fmt: skip


def imported(path: Path) -> set[str]:
    """All that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            # `from package import module` needs the module, not the package's other names.
            found |= (names & MODULES.keys()) or {node.module}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("importorskip"):
            found |= {arg.value for arg in node.args if isinstance(arg, ast.Constant)}
    return found


def imports(path: Path) -> set[str]:
    """The modules of ours that a file imports, wherever in it."""
    return imported(path) & MODULES.keys()


def distributions(paths: Iterable[Path]) -> set[str]:
    """The packages of others that files import, by the names under which they are installed."""
    names = {name.partition(".")[0] for path in paths for name in imported(path)}
    ours = {"pipeline", "transforms", "tests", "benchmarks"}
    return {DISTRIBUTIONS.get(name, name) for name in names - ours - sys.stdlib_module_names}


def declared() -> set[str]:
    """The packages that pyproject.toml names, extras too."""
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    return {re.match(r"[\w-]+", each)[0] for some in lists for each in some}


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function of a file with its lines, those of its docstring not counted."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = node.body[0] if ast.get_docstring(node) else None
            told = docstring.end_lineno - docstring.lineno + 1 if docstring else 0
            yield node.name, node.end_lineno - node.lineno + 1 - told


def test_transforms_never_imports_pipeline() -> None:
    for name, path in MODULES.items():
        if name.startswith("transforms"):
            assert not [i for i in imports(path) if i.startswith("pipeline")], name


def test_no_module_imports_itself_by_a_detour() -> None:
    graph = {name: imports(path) - {name} for name, path in MODULES.items()}
    assert set(TopologicalSorter(graph).static_order()) == MODULES.keys()


def test_no_file_is_over_300_lines() -> None:
    long = {n: c for n, p in MODULES.items() if (c := len(p.read_text().splitlines())) > 300}
    assert not long


def test_no_function_is_over_60_lines() -> None:
    found = {(name, *each) for name, path in MODULES.items() for each in functions(path)}
    assert not [each for each in found if each[2] > 60]


def test_lines_of_a_function_are_counted_without_its_docstring(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text(
        'def f():\n    """One.\n\n    Two.\n    """\n    x = 1\n    return x\n\n'
        "async def g():\n    pass\n"
    )
    assert dict(functions(tmp_path / "x.py")) == {"f": 3, "g": 2}


def test_what_is_imported_is_declared() -> None:
    assert distributions(MODULES.values()) - declared() == WHERE_THEY_ARE


def test_what_is_declared_is_used() -> None:
    folders = ("pipeline", "transforms", "tests", "benchmarks", "examples")
    used = distributions(path for folder in folders for path in (REPO / folder).rglob("*.py"))
    assert declared() - used == NOT_IMPORTED


def test_each_requirement_says_what_it_is_for() -> None:
    lines = (REPO / "pyproject.toml").read_text().partition("[project.scripts]")[0].splitlines()
    silent = [
        line for line in lines if re.match(r'  "', line) and not re.search(r'",? +# \S', line)
    ]
    assert not silent


def test_the_hooks_before_a_commit_are_what_ci_runs() -> None:
    hooks = yaml.safe_load((REPO / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    wanted = re.findall(r'(?m)^"\$python" (-m (?:ruff|mypy).*)$', CI)
    assert [hook["entry"] for hook in hooks] == [f".venv/bin/python {each}" for each in wanted]
    assert not any(hook["pass_filenames"] for hook in hooks)


def test_the_page_of_the_architecture_has_a_line_for_each_file() -> None:
    page = room_tables.PAGE.read_text()
    written, wanted = page.splitlines(), room_tables.with_tables(page).splitlines()
    differing = sorted(set(written) ^ set(wanted))
    assert written == wanted, f"python -m tests.room_tables has not been run: {differing}"


def test_a_file_that_does_not_say_what_it_is_for_is_named(tmp_path: Path) -> None:
    for name, text, says in (
        ("a.py", '"""Of ``this``\nand that.\n\nMore."""\n', "Of `this` and that."),
        ("a.js", "// Draws.\nx\n", "Draws."),
        ("a.css", "/* Looks. */\n", "Looks."),
        ("a.jinja", "{# Holds. #}\n", "Holds."),
    ):
        (tmp_path / name).write_text(text)
        assert room_tables.says(tmp_path / name) == says
        (tmp_path / name).write_text("x = 1\n")
        with pytest.raises(ValueError, match=name):
            room_tables.says(tmp_path / name)


def test_what_the_package_does_not_export_is_no_attribute_of_it() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = transforms.Nothing


def test_only_storage_opens_files() -> None:
    for name, path in MODULES.items():
        calls = {
            node.func.id
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert name in ("transforms.storage", "transforms.local") or "open" not in calls, name


def test_what_needs_optional_packages_is_run_with_them() -> None:
    needs = re.compile(r"importorskip\(|find_spec\(|skipif\(why_not")
    found = {
        str(path.relative_to(REPO))
        for path in (REPO / "tests").rglob("test_*.py")
        if needs.search(path.read_text())
    }
    run = {word.partition("::")[0] for word in CI.split()}
    assert found <= run


@pytest.mark.parametrize("module", [pipeline, transforms])
def test_the_packages_are_ours_and_not_others_of_the_same_name(module: object) -> None:
    assert Path(module.__file__).parents[1] == REPO


@pytest.mark.slow
def test_the_sdist_holds_both_packages_and_no_tests(tmp_path: Path) -> None:
    # A copy, because the build leaves its traces in the folder.
    skipped = shutil.ignore_patterns(".*", "*.egg-info", "out", "build", "dist", "__pycache__")
    shutil.copytree(REPO, tmp_path / "copy", ignore=skipped)
    build = [sys.executable, "setup.py", "--quiet", "sdist", "--dist-dir", str(tmp_path / "dist")]
    subprocess.run(build, cwd=tmp_path / "copy", check=True, capture_output=True)
    (archive,) = (tmp_path / "dist").glob("*.tar.gz")
    assert archive.name.startswith("fastesm_beam-")
    with tarfile.open(archive) as opened:
        held = {name.partition("/")[2] for name in opened.getnames()}
    assert {str(path.relative_to(REPO)) for path in (*MODULES.values(), *PARTS_OF_PAGES)} <= held
    assert not [name for name in held if name.startswith("tests")]
