"""Two minutes of :mod:`tests.soak`, with two kills."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.soak import soak


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_files_that_come_at_random_and_kills(tmp_path: Path) -> None:
    seen = soak(tmp_path, seconds=100, files=60, kills=2)
    assert seen.files == 60
    assert len(seen.lives) == 3
    assert seen.rows > 1000
    assert seen.dead_letters > 10
