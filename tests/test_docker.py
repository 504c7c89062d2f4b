"""The image of the workers: what can be said of them without an engine that builds them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.processes import REPO

FILE = REPO / "docker/Dockerfile"
README = (REPO / "docker/README.md").read_text()
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
PINNED = dict(
    line.split("==") for line in (REPO / "constraints.txt").read_text().split() if "==" in line
)
GATE = "FASTESM_TEST_IMAGES"


class Step(NamedTuple):
    """An instruction of a Dockerfile, with the number of its stage, from 0; -1 before the first."""

    stage: int
    name: str
    text: str


def steps_of() -> list[Step]:
    """The instructions, each on one line, with the defaults of global ARGs in FROM lines."""
    lines = [line for line in FILE.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    steps, stage = [], -1
    arguments: dict[str, str] = {}
    for line in filter(None, map(str.strip, joined.splitlines())):
        name, _, text = line.partition(" ")
        if name == "FROM":
            stage += 1
            text = expand(text, arguments)
        if name == "ARG" and stage == -1:
            key, _, value = text.partition("=")
            arguments[key] = value
        steps.append(Step(stage, name, text.strip()))
    return steps


def expand(text: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], text)


def texts(name: str) -> list[str]:
    return [step.text for step in steps_of() if step.name == name]


def copies() -> Iterator[tuple[list[str], str, str | None]]:
    """The sources of each COPY, its target, and the stage it is from."""
    for text in texts("COPY"):
        words = text.split()
        stage = words.pop(0).removeprefix("--from=") if words[0].startswith("--from=") else None
        yield words[:-1], words[-1], stage


def test_what_is_copied_is_there() -> None:
    ignored = [
        line for line in (REPO / ".dockerignore").read_text().splitlines() if line[:1] not in "#"
    ]
    stages = {text.split(" AS ")[1] for text in texts("FROM") if " AS " in text}
    for sources, _, stage in copies():
        if stage is not None:
            assert stage in stages
            continue
        for source in sources:
            assert (REPO / source).exists(), source
            said = [rule for rule in ignored if fnmatch(source, rule.removeprefix("!"))]
            assert said[-1] == f"!{source}", f"{source} is left out by .dockerignore"


def test_everything_of_the_package_is_copied() -> None:
    copied = {source for sources, _, stage in copies() if stage is None for source in sources}
    packages = tomllib.loads((REPO / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {pattern.rstrip("*") for pattern in packages["packages"]["find"]["include"]}
    assert found | {"pyproject.toml", "constraints.txt", PROJECT["readme"]} <= copied


def test_versions_agree() -> None:
    bases = [text.split()[0] for text in texts("FROM")]
    boot, *others = bases
    found = re.fullmatch(r"apache/beam_python(3\.\d+)_sdk:([\d.]+)", boot)
    assert found
    assert found[2] == PINNED["apache-beam"]
    assert set(others) == {f"python:{found[1]}-slim-bookworm"}
    assert tuple(map(int, found[1].split("."))) >= (3, 11)
    assert PROJECT["requires-python"] == ">=3.11"


def test_nothing_is_the_latest_and_no_index_is_named() -> None:
    text = FILE.read_text()
    assert "latest" not in text
    assert "://" not in text
    for base in (text.split()[0] for text in texts("FROM")):
        assert ":" in base


def test_what_is_installed_is_pinned() -> None:
    installs = [part for run in texts("RUN") for part in re.findall(r"pip install[^&]*", run)]
    assert len(installs) == 2
    for install in installs:
        assert "-c /opt/fastesm-beam/constraints.txt" in install
    torch, package = installs
    assert torch.split()[-1] == "torch"
    assert "torch" in PINNED
    (extras,) = re.findall(r"\[([\w,]+)\]", package)
    assert set(extras.split(",")) <= PROJECT["optional-dependencies"].keys()


def test_it_starts_beams_boot_offline_and_as_the_user_that_is_asked_for() -> None:
    assert json.loads(texts("ENTRYPOINT")[-1]) == ["/opt/apache/beam/boot"]
    assert (["/opt/apache/beam"], "/opt/apache/beam", "beam") in list(copies())
    arguments, environment = texts("ARG"), " ".join(texts("ENV"))
    assert "HUB_OFFLINE=1" in arguments
    assert "HF_HUB_OFFLINE=${HUB_OFFLINE}" in environment
    # Without it boot writes to /opt/apache, which root alone may.
    assert "RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1" in environment
    assert texts("USER") == ["${RUN_AS}"]
    assert "RUN_AS=root" in arguments


def test_weights_are_fetched_before_the_hub_is_off() -> None:
    steps = steps_of()
    fetch = next(n for n, step in enumerate(steps) if "find_checkpoint" in step.text)
    off = next(n for n, step in enumerate(steps) if "HF_HUB_OFFLINE=" in step.text)
    assert fetch < off


def test_the_commands_that_build_it_are_in_the_readme() -> None:
    arguments = {text.partition("=")[0] for text in texts("ARG")}
    commands = re.findall(r"docker build (?:[^\n]|\\\n)*", README)
    assert len(commands) == 2
    for command in commands:
        assert set(re.findall(r"--build-arg (\w+)", command)) <= arguments


def run_step(command: str, root: Path, environment: Mapping[str, str]) -> None:
    """Runs a RUN step with the folders of the image below ``root``."""
    moved = re.sub(r"(?<![\w/])/(src|wheels|opt)\b", rf"{root}/\1", command)
    done = subprocess.run(
        ["sh", "-c", moved], env=dict(environment), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{moved}\n{done.stdout}{done.stderr}"


@pytest.mark.slow
def test_its_steps_install_what_workers_import(tmp_path: Path) -> None:
    if not os.environ.get(GATE):
        pytest.skip(f"installs some GB: set {GATE}=1, and TORCH_INDEX_URL as for docker build")
    build(tmp_path)


def build(root: Path) -> None:
    """Does what an engine would, as far as that goes without one: no base image, boot or users."""
    subprocess.run([sys.executable, "-m", "venv", root / "venv"], check=True)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
    }
    environment |= {"PATH": f"{root}/venv/bin:{os.environ['PATH']}", "MODEL": "", "REVISION": ""}
    environment.setdefault("TORCH_INDEX_URL", "")
    for step in steps_of():
        if step.name == "COPY":
            words = step.text.split()
            source = [REPO / word for word in words[:-1]]
            if words[0].startswith("--from="):
                if words[0] == "--from=beam":
                    continue
                source = [root / words[1].lstrip("/")]
            target = root / words[-1].lstrip("/")
            (target if words[-1].endswith("/") else target.parent).mkdir(
                parents=True, exist_ok=True
            )
            subprocess.run(["cp", "-r", *map(str, source), str(target)], check=True)
        elif step.name == "RUN" and not re.match(r"apt-get|useradd", step.text):
            run_step(step.text, root, environment)
    modules = "pipeline.run, pipeline.launch, apache_beam.runners.worker.sdk_worker_main"
    check = (
        f"import {modules}, torch; from apache_beam.io.gcp import gcsfilesystem; "
        "from apache_beam.runners.dataflow.internal import apiclient; print(torch.__version__)"
    )
    subprocess.run([root / "venv/bin/python", "-c", check], env=environment, cwd=root, check=True)
