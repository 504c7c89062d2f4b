"""The code blocks of a page, and how they are run as its reader would run them.

What a page says of a block stands behind the language of its fence, where no renderer shows it:

- ``bash not run: REASON``: it cannot run here. Its command lines of ours are parsed all the same.
- ``bash needs: PACKAGE``: it is run where an optional package is installed.
- ``text printed``: what the block before it prints, perhaps among other lines; ``…`` stands for
  anything.

What has to be there beforehand, and is not for the reader's eyes, is a comment,
``<!-- set-up: COMMANDS -->``.
"""

from __future__ import annotations

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import __main__ as benchmarks
from pipeline.launching import command as launching
from pipeline.options import parse_options
from tests.processes import REPO

_BLOCK = re.compile(
    r"^<!-- set-up: (?P<before>.*?) -->$"
    r"|^```(?P<language>\w*)(?: (?P<note>[^\n]*))?\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_NOT_RUN, _NEEDS = "not run: ", "needs: "
SET_UP = "set-up"


@dataclass(frozen=True)
class Block:
    """A code block.

    Attributes:
        line: Where it begins, from 1.
        language: What stands behind its fence; ``bash`` for a set-up.
        note: What stands behind that; ``SET_UP`` for a set-up.
        text: What is in it.
    """

    line: int
    language: str
    note: str
    text: str

    @property
    def reason(self) -> str:
        """Why it is not run; empty if it is."""
        return self.note.removeprefix(_NOT_RUN) if self.note.startswith(_NOT_RUN) else ""

    @property
    def package(self) -> str:
        """The optional package without which it cannot run; empty if there is none."""
        return self.note.removeprefix(_NEEDS) if self.note.startswith(_NEEDS) else ""

    @property
    def runs(self) -> bool:
        """Whether it is run, at least where its package is."""
        return self.language in ("bash", "python") and not self.reason


def read_blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(
            text.count("\n", 0, found.start()) + 1,
            found["language"] if found["before"] is None else "bash",
            (found["note"] or "") if found["before"] is None else SET_UP,
            found["text"] if found["before"] is None else found["before"],
        )
        for found in _BLOCK.finditer(text)
    ]


def make_workplace(folder: Path) -> None:
    """Makes a folder like a clone in which ``./run_local.sh`` has installed everything."""
    for name in ("constraints.txt", "pyproject.toml", "examples", "docs", "benchmarks", "tests"):
        (folder / name).symlink_to(REPO / name)
    shutil.copy(REPO / "run_local.sh", folder)  # which looks for .venv beside itself
    binaries = folder / ".venv/bin"
    binaries.mkdir(parents=True)
    for name, command in (("python", ""), ("fastesm-beam", "-m pipeline")):
        script = binaries / name
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {command} "$@"\n')
        script.chmod(0o755)
    pins = (folder / "constraints.txt").read_bytes() + (folder / "pyproject.toml").read_bytes()
    cksum = subprocess.run(["cksum"], input=pins, capture_output=True, check=True)
    (folder / ".venv/installed").write_text(f"\n\n{cksum.stdout.decode()}")


def imitate_hub(cache: Path, model: str, checkpoint: Path) -> None:
    """Puts a checkpoint where a model would lie that was fetched from the hub."""
    commit = "0" * 40
    below = cache / f"models--{model.replace('/', '--')}"
    shutil.copytree(checkpoint, below / "snapshots" / commit)
    (below / "refs").mkdir()
    (below / "refs/main").write_text(commit)


def run_block(block: Block, folder: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    command = ["bash", "-euo", "pipefail", "-c"]
    if block.language == "python":
        command = [str(folder / ".venv/bin/python"), "-c"]
    environment = {
        "PATH": f"{folder}/.venv/bin{os.pathsep}{os.defpath}",
        "PYTHONPATH": str(REPO),
        "HOME": str(folder),
        "HF_HUB_CACHE": str(cache),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        [*command, block.text],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def missing_lines(expected: str, printed: str) -> list[str]:
    """Returns the lines of a ``printed`` block that are not there, in their order."""
    lines = iter(printed.splitlines())
    missing = []
    for line in expected.splitlines():
        pattern = re.compile(re.escape(line.rstrip()).replace("…", ".*") + r"\s*")
        if not any(pattern.fullmatch(each) for each in lines):
            missing.append(line)
            lines = iter(printed.splitlines())
    return missing


def command_lines(block: Block) -> Iterator[tuple[str, list[str]]]:
    """Yields the module and the arguments of each of our commands in a bash block."""
    for line in block.text.replace("\\\n", " ").splitlines():
        tokens = shlex.split(line, comments=True)
        if not tokens:
            continue
        program = tokens.pop(0)
        if program == "./run_local.sh" and tokens[:1] != ["test"]:
            yield "pipeline", tokens
        elif program.endswith("python") and re.match(r"-m (pipeline|benchmarks)", " ".join(tokens)):
            yield tokens[1], tokens[2:]


def parse(module: str, arguments: list[str]) -> None:
    """Parses a command line of ours with the parser that it is for.

    Raises:
        ConfigurationError: It is refused.
        SystemExit: It is refused by a parser of the benchmarks.
    """
    if module == "pipeline":
        parse_options(arguments)
    elif module == "pipeline.launch":
        launching.prepare(arguments[0], arguments[1:])
    elif module == "benchmarks":
        benchmarks.make_parser(arguments[0]).parse_args(arguments[1:])
    else:
        importlib.import_module(module).make_parser().parse_args(arguments)
