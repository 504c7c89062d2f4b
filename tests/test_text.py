"""Tests of how text from outside is shown."""

from __future__ import annotations

import sys

import pytest

from transforms.text import counted, nearest, printable


@pytest.mark.parametrize(
    "text",
    ["", "sp|P12345|X", "a b", "caf\u00e9 \u86cb\u767d \U0001f9ec", "C:\\in\\a.faa", "'\"=cmd()"],
)
def test_what_can_be_shown_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mred\x1b[0m", r"a\x1b[31mred\x1b[0m"),
        ("one\ntwo\r\n", r"one\ntwo\r\n"),
        ("a\tb\x00c\x7f\x9b", r"a\tb\x00c\x7f\x9b"),
        ("a\u202egpj.faa", r"a\u202egpj.faa"),
        ("a\u2028b\u00a0c\u3000d", r"a\u2028b\xa0c\u3000d"),
        ("a\udc80.faa", r"a\udc80.faa"),
        ("\U000e0041tag", r"\U000e0041tag"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_no_character_of_unicode_gets_through_unless_it_is_printable() -> None:
    shown = printable("".join(map(chr, range(sys.maxunicode + 1))))
    assert shown.isprintable()
    shown.encode()  # no lone surrogate is left


def test_a_long_text_is_cut_before_it_is_escaped() -> None:
    assert printable("M" * 10_000, most=5) == "MMMM…"
    assert printable("\x1b" * 9, most=3) == r"\x1b\x1b…"
    assert printable("MKTAY", most=5) == "MKTAY"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("modle", "--model"),
        ("--Model", "--model"),
        ("--input-rot", "--input_root"),
        ("-i", "--input"),
        ("--trunc", "--truncation_seq_length"),
        ("-", None),
        ("", None),
        ("xyz", None),
    ],
)
def test_the_nearest_name_is_found(given: str, expected: str | None) -> None:
    known = ["--input", "--input_root", "--model", "--truncation_seq_length"]
    assert nearest(given, known) == expected


def test_a_count_has_the_plural_of_its_thing() -> None:
    assert [counted(1, "pass"), counted(2, "pass")] == ["1 pass", "2 passes"]
    assert [counted(2, "batch"), counted(1000, "file")] == ["2 batches", "1,000 files"]
    assert counted(0, "file") == ""
