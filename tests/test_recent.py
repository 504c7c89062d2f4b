"""Tests of what was used last, up to a bound."""

from __future__ import annotations

from transforms.recent import Recent


def test_what_was_not_used_for_longest_goes_first() -> None:
    recent: Recent[int] = Recent(10)
    recent.add("a", 0, 4)
    recent.add("b", 1, 4)
    assert recent.get("a") == 0
    recent.add("c", 2, 4)
    assert ("a" in recent, "b" in recent, "c" in recent) == (True, False, True)
    assert recent.size == 8


def test_a_value_that_is_given_again_takes_the_place_of_the_old_one() -> None:
    recent: Recent[int] = Recent(10)
    recent.add("b", 0, 3)
    for size in (5, 7, 6):
        recent.add("a", size, size)
        assert (recent.get("a"), recent.size) == (size, 3 + size)
    assert recent.get("b") == 0


def test_a_value_above_the_bound_is_not_kept() -> None:
    recent: Recent[int] = Recent(10)
    recent.add("a", 1, 11)
    assert (recent.get("a"), recent.size) == (None, 0)
