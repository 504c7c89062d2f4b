from __future__ import annotations

import os

# The models of the tests are tiny: a second thread only waits, for long where cores are shared.
# Before torch is imported, and for the processes that tests start.
os.environ["OMP_NUM_THREADS"] = "1"

import logging
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.weights import Shape, make_model
from tests.helpers import make_output
from transforms import beam_metrics
from transforms.esm.loaded import MODELS
from transforms.output.commits import Output

# A shell that starts this in the background, and nohup, have signals ignored that tests send.
for _number, _usual in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)

LEVELS = {n: logging.getLogger(n).level for n in ("", "apache_beam", "pipeline", "transforms")}


@pytest.fixture(autouse=True)
def _same_logging() -> None:
    """Undoes what the command line has set up, in a test or a fixture, for the whole process."""
    for name, level in LEVELS.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture(autouse=True)
def _nothing_known() -> Iterator[None]:
    """Forgets what a test has left in the process for its next run, be that of a fixture."""
    yield
    MODELS.forget()
    beam_metrics._held.clear()


@pytest.fixture
def output(tmp_path: Path) -> Output:
    """An output in which nothing is committed yet; files of tests may have another one."""
    return make_output(tmp_path)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random ESM-2 in which nothing is degenerate: a lost weight or a wrong position shows."""
    model = make_model(Shape(layers=2, hidden=32, heads=4, ffn=64))
    directory = tmp_path_factory.mktemp("checkpoints") / "tiny"
    model.save_pretrained(directory)
    return directory
