"""Tests that no verb touches an output of another format than it knows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from pipeline import compact, export, finish, search, status, verify
from pipeline.run import main as run
from tests.command import exit_code_of
from tests.helpers import files_below
from transforms.errors import ConfigurationError
from transforms.output.configuration import FORMAT, read_configuration, write_configuration
from transforms.output.json_records import write_json

RUN = ("--model", "demo", "--input", "{root}/../a.fa", "--output", "{root}")


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    write_configuration(str(tmp_path / "out"), {"format": FORMAT + 1, "dim": 4})
    (tmp_path / "a.fa").write_text(">a\nMKT\n")
    return tmp_path / "out"


@pytest.mark.parametrize(
    ("main", "options"),
    [
        (status.main, ()),
        (verify.main, ("--sample", "0")),
        (compact.main, ()),
        (finish.main, ()),
        (search.main, ("--id", "a")),
        (export.main, ("--to", "npz", "--out", "{root}/../out.npz")),
        (run, RUN),
        (run, (*RUN, "--overwrite")),
        (run, (*RUN, "--shard=0/2")),
    ],
)
def test_every_verb_refuses_another_format(
    newer: Path,
    main: Callable[[list[str]], NoReturn],
    options: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = files_below(newer.parent)
    args = [option.format(root=newer) for option in options]
    assert exit_code_of(main, *(args if main is run else [newer, *args])) == 2
    said = capsys.readouterr().err
    assert f"{newer} was made by another version of this program (format 2; this one" in said
    assert "Use that version, or give another --output." in said
    assert files_below(newer.parent) == before


def test_an_output_that_names_no_format_is_of_the_first(tmp_path: Path) -> None:
    write_configuration(str(tmp_path), {"dim": 4})
    assert read_configuration(str(tmp_path)) == {"dim": 4}


@pytest.mark.parametrize("content", [[], 1, None])
def test_a_configuration_that_is_none_is_damaged(tmp_path: Path, content: Any) -> None:
    write_json(str(tmp_path), "commits/output.json", content)
    with pytest.raises(ConfigurationError, match=r"output\.json is damaged, or was written by"):
        read_configuration(str(tmp_path))
