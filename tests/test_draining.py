"""The first signal drains a run, whatever the disk says to it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from pipeline import draining
from transforms.inputs.stopping import stop_requested


def test_a_signal_drains_though_the_notes_cannot_be_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "under_way")

    monkeypatch.setattr(draining, "clear_notes", refuse)
    with draining.draining(str(tmp_path)) as received:
        os.kill(os.getpid(), signal.SIGTERM)
        assert received == [signal.SIGTERM]
        assert stop_requested()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL  # the second ends the process
    assert "Stopping: finishing what was read." in capsys.readouterr().err
