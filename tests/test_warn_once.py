"""Tests of warnings of what recurs."""

from __future__ import annotations

import logging

import pytest

from transforms.warn_once import WarnOnce


def test_each_thing_is_told_once_and_only_so_many_are_remembered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    warn = WarnOnce(logging.getLogger("test"))
    for sentence in ("away\x1b", "away\x1b", *map(str, range(1000)), "999", "away\x1b"):
        warn(sentence)
    assert caplog.messages == [r"away\x1b", *map(str, range(1000)), r"away\x1b"]
