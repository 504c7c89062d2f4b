"""Tests of how a graph is run in a process that goes on."""

from __future__ import annotations

import gc

import pytest

from pipeline.execution import frozen


def test_what_was_there_is_not_looked_through_until_the_end() -> None:
    assert gc.get_freeze_count() == 0
    with frozen():
        count = gc.get_freeze_count()
        assert count > 1000
        with frozen():
            pass
        assert gc.get_freeze_count() == count
    assert gc.get_freeze_count() == 0


def test_it_ends_with_an_error_too() -> None:
    with pytest.raises(OSError, match="broken"), frozen():
        raise OSError("broken")
    assert gc.get_freeze_count() == 0
