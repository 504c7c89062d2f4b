"""The shape of the project: what is installed, and who imports whom."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import pipeline
import transforms
from tests.processes import REPO

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


def imports(path: Path) -> set[str]:
    """The modules of ours that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            # `from package import module` needs the module, not the package's other names.
            found |= (names & MODULES.keys()) or {node.module}
    return found & MODULES.keys()


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


def test_only_storage_opens_files() -> None:
    for name, path in MODULES.items():
        calls = {
            node.func.id
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert name == "transforms.storage" or "open" not in calls, name


# The distributions of what is imported under another name.
DISTRIBUTIONS = {
    "google": "google-cloud-pubsub",
    "grpc": "grpcio",
    "lance": "pylance",
    "yaml": "pyyaml",
}

# What is imported and not named: why it is there, or why it need not be.
UNNAMED = {
    "markupsafe": "a part of jinja2",
    "triton": "a part of torch for CUDA",
    "umap": "a report goes without it",
}


def modules_of(path: Path) -> Iterator[str]:
    """The modules that a file imports, wherever in it and whosesoever."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module)):
                yield module


def test_all_that_is_imported_is_named_in_pyproject() -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    named = [*project["dependencies"], *extras["export"], *extras["pubsub"], *extras["report"]]
    names = {re.split(r"[\[<>=]", each)[0].replace("-", "_") for each in named}
    imported = {name.partition(".")[0] for path in MODULES.values() for name in modules_of(path)}
    others = imported - sys.stdlib_module_names - {"pipeline", "transforms"} - UNNAMED.keys()
    assert {DISTRIBUTIONS.get(name, name).replace("-", "_") for name in others} <= names


def test_what_needs_optional_packages_is_run_with_them() -> None:
    needs = re.compile(r"importorskip\(|find_spec\(|skipif\(why_not")
    found = {
        str(path.relative_to(REPO))
        for path in (REPO / "tests").rglob("test_*.py")
        if needs.search(path.read_text())
    }
    run = {word.partition("::")[0] for word in (REPO / ".ci/run").read_text().split()}
    assert found <= run


@pytest.mark.parametrize("module", [pipeline, transforms])
def test_the_packages_are_ours_and_not_others_of_the_same_name(module: object) -> None:
    assert Path(module.__file__).parents[1] == REPO  # type: ignore[attr-defined]


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
