"""Tests of what is said of a folder that is no output."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.recorded import no_output, read_bound
from transforms.errors import ConfigurationError
from transforms.output.configuration import write_configuration


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out/embeddings").mkdir(parents=True)
    write_configuration(str(tmp_path / "out"), {"format": 1})
    (tmp_path / "other").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nothing", "there is nothing of that name. Give the --output of a run."),
        ("other", "it has no commits/output.json. Give the --output of a run."),
        ("out/embeddings", "but lies in one. Give {in}/out."),
        ("out/embeddings/part-0.parquet", "there is nothing of that name"),
        ("out/commits/output.json", "but lies in one. Give {in}/out."),
    ],
)
def test_the_fix_is_said(name: str, says: str, folder: Path) -> None:
    assert says.replace("{in}", str(folder)) in str(no_output(str(folder / name)))
    with pytest.raises(ConfigurationError, match="is not an output"):
        read_bound(str(folder / name))


def test_an_output_is_bound(folder: Path) -> None:
    assert read_bound(str(folder / "out")) == {"format": 1}
