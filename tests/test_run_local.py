"""When ``run_local.sh`` installs, and from where; its Python only notes what it is asked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import REPO

TOLD = """#!/bin/sh
echo "$@" >> "{log}"
"""


class Clone:
    """A folder like a fresh clone in which ``.venv`` holds no more than two scripts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "told"
        self.said = ""
        for name in ("run_local.sh", "constraints.txt", "pyproject.toml"):
            shutil.copy(REPO / name, folder)
        programs = folder / ".venv/bin"
        programs.mkdir(parents=True)
        for name in ("python", "fastesm-beam"):
            (programs / name).write_text(TOLD.format(log=self.log))
            (programs / name).chmod(0o755)

    def installs(self, *args: str, **environment: str) -> list[str]:
        """Runs the script and returns what it has had installed."""
        self.log.write_text("")
        outer = {n: value for n, value in os.environ.items() if n != "TORCH_INDEX_URL"}
        done = subprocess.run(
            ["bash", self.folder / "run_local.sh", *args],
            env={**outer, "PYTHON": sys.executable, **environment},
            check=True,
            capture_output=True,
            text=True,
        )
        self.said = done.stderr
        lines = self.log.read_text().splitlines()
        assert lines[-1] == "--version"
        return [line for line in lines if "pip" in line]


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_it_installs_once_also_if_the_index_is_named_only_the_first_time(clone: Clone) -> None:
    torch, ours = clone.installs("--version", TORCH_INDEX_URL="https://torch.invalid/cpu")
    assert torch.endswith("torch --index-url https://torch.invalid/cpu")
    assert ours.endswith(f"-e {clone.folder}")
    assert "Installing PyTorch" in clone.said
    assert "Installing the other packages" in clone.said
    assert clone.installs("--version") == []
    assert clone.said == ""
    assert clone.installs("--version", TORCH_INDEX_URL="https://torch.invalid/cpu") == []


def test_another_index_or_other_versions_are_installed_anew(clone: Clone) -> None:
    assert len(clone.installs("--version")) == 2
    (other, _) = clone.installs("--version", TORCH_INDEX_URL="https://torch.invalid/cpu")
    assert "torch.invalid" in other
    with (clone.folder / "constraints.txt").open("a") as handle:
        handle.write("# another version\n")
    assert "torch.invalid" in clone.installs("--version")[0]  # the build that was chosen stays
    assert "--index-url" not in clone.installs("--version", TORCH_INDEX_URL="")[0]


def test_its_help_installs_nothing(clone: Clone) -> None:
    command = ["bash", clone.folder / "run_local.sh", "--help"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "./run_local.sh --input" in said
    assert "Nothing is installed yet" in said
    assert not clone.log.exists()
    clone.installs("--version")
    clone.log.write_text("")
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "Nothing is installed yet" not in said
    assert clone.log.read_text() == "--help\n"
