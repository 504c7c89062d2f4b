from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.outcome import write_inputs


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files with everything in them, in a folder of the module's own."""
    folder = tmp_path_factory.mktemp("faults") / "in"
    write_inputs(folder)
    return folder
