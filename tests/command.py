"""The command line and the verbs, run in this process, which loads the libraries only once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from pipeline import run
from tests.processes import REPO

_MODEL_LIBRARIES = """\
import sys
from pipeline import {verb}
try:
    {verb}.main(sys.argv[1:])
finally:
    loaded = {{"torch", "transformers", "apache_beam.ml"}} & sys.modules.keys()
    print(*map("{{}} was loaded".format, loaded), file=sys.stderr, end="")
"""


def exit_code_of(main: Callable[[list[str]], object], *args: object) -> int:
    """Runs the main function of a verb, or of the pipeline."""
    with pytest.raises(SystemExit) as caught:
        main([str(arg) for arg in args])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def embed(inputs: object, output: object, *more: object, quiet: bool = True) -> int:
    """Embeds with the demo model and returns the exit code."""
    args = ("--input", inputs, "--output", output, "--model", "demo", *["--quiet"] * quiet)
    return exit_code_of(run.main, *args, *more)


def said_by(
    main: Callable[[list[str]], object], capsys: pytest.CaptureFixture[str], *args: object
) -> tuple[int, str, str]:
    """Returns the exit code of a main function, and what it has said and complained of."""
    capsys.readouterr()
    code = exit_code_of(main, *args)
    said = capsys.readouterr()
    return code, said.out, said.err


def run_without_model_libraries(verb: str, *args: object) -> subprocess.CompletedProcess[str]:
    """Runs a verb in a process of its own, which is to load neither torch nor transformers."""
    command = [sys.executable, "-c", _MODEL_LIBRARIES.format(verb=verb), *map(str, args)]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert "was loaded" not in done.stderr
    return done
