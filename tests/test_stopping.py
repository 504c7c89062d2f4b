from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import make_output
from transforms.inputs import stopping
from transforms.inputs.finding import find_fasta
from transforms.inputs.reading import _ReadFastaDoFn
from transforms.inputs.stopping import EndLook, request_end, withdraw_end


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_it_is_looked_once_a_second_and_what_was_seen_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, clock = make_output(tmp_path), Clock()
    (tmp_path / "out/.locks").mkdir()
    look = EndLook(output, clock)
    request_end(output)
    clock.now = 0.9
    assert not look.is_requested()
    clock.now = 1.0
    with monkeypatch.context() as patched:

        def fail(url: str) -> bool:
            raise OSError("the network is away")

        patched.setattr(stopping.storage, "exists", fail)
        assert not look.is_requested()
    clock.now = 1.9
    assert not look.is_requested()
    clock.now = 2.0
    assert look.is_requested()
    withdraw_end(output)
    clock.now = 9.0
    assert look.is_requested()
    assert not list((tmp_path / "out/.locks").iterdir())


def test_a_reader_heeds_the_request_of_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.faa").write_text(">a\nMK\n")
    (file,) = find_fasta([str(tmp_path / "a.faa")]).files
    output = make_output(tmp_path)
    (tmp_path / "out/.locks").mkdir()
    monkeypatch.setattr(stopping, "SECONDS_BETWEEN_LOOKS", 0.0)
    reader = _ReadFastaDoFn(output)
    reader.setup()
    assert list(reader.process(file))
    request_end(output)
    assert not list(reader.process(file))
    _ReadFastaDoFn(make_output(tmp_path, run="next")).setup()
    assert not stopping.stop_requested()
    reader.setup()
    assert stopping.stop_requested()
    stopping.clear_stop()  # the next run of this process has nothing to do with it
    assert not stopping.stop_requested()
