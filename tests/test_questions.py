"""docs/questions.md quotes what the program says."""

from __future__ import annotations

import ast
import re

import pytest

from tests.processes import REPO

HEADINGS = re.findall(r"^\*\*(.+)\*\*", (REPO / "docs/questions.md").read_text(), re.MULTILINE)
QUOTED = [quoted for heading in HEADINGS for quoted in re.findall(r'"([^"]+)"', heading)]


def sentences() -> set[str]:
    """Every text in the source; … stands for what an f-string puts in."""
    found = set()
    for package in ("pipeline", "transforms"):
        for path in (REPO / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.JoinedStr):
                    found.add("".join(map(_text, node.values)))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.add(node.value)
    return found


def _text(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else "…"


SENTENCES = sentences()


@pytest.mark.parametrize("quoted", QUOTED)
def test_each_message_is_one_of_the_program(quoted: str) -> None:
    wanted = re.compile(".*".join(re.escape(piece.strip()) for piece in quoted.split("…")))
    assert any(wanted.search(sentence) for sentence in SENTENCES)


def test_messages_are_quoted() -> None:
    assert len(QUOTED) > 5
