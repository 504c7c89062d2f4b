"""The tables of docs/architecture.md: each room, and each of its files by what it says of itself.

``python -m tests.room_tables`` writes them anew.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

REPO = Path(__file__).parents[1]
PAGE = REPO / "docs/architecture.md"

_START, _END = "<!-- rooms: python -m tests.room_tables -->", "<!-- rooms: end -->"
_COMMENT = re.compile(r"^(?://|/\*|\{#) *(?P<text>.*?) *(?:\*/|-?#\})?$")


def rooms() -> dict[Path, list[Path]]:
    """The folders of both packages with the files in each that hold anything."""
    found = defaultdict(list)
    for package in ("pipeline", "transforms"):
        for path in sorted((REPO / package).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and path.name != "py.typed":
                found[path.parent].append(path)
    return dict(sorted(found.items()))


def says(path: Path) -> str:
    """Returns the sentence a file begins with, as Markdown.

    Raises:
        ValueError: There is none.
    """
    text = path.read_text()
    if path.suffix == ".py":
        first = (ast.get_docstring(ast.parse(text)) or "").partition("\n\n")[0]
    else:
        comment = _COMMENT.match(text.partition("\n")[0])
        first = comment["text"] if comment else ""
    if not first:
        raise ValueError(f"{path} does not begin with a sentence that says what it is for")
    return " ".join(first.split()).replace("``", "`").replace("|", "\\|")


def make_tables() -> str:
    """Returns the tables of all rooms; what a package says of itself stands above its own."""
    blocks = []
    for room, files in rooms().items():
        rows = [f"| `{file.name}` | {says(file)} |" for file in files if file.stem != "__init__"]
        title = f"### `{room.relative_to(REPO)}/`"
        blocks.append("\n".join([title, "", says(room / "__init__.py"), "", "| | |", "|---|---|"]))
        blocks[-1] += "\n" + "\n".join(rows)
    return "\n\n".join(blocks)


def with_tables(page: str) -> str:
    """Returns a page with its tables as they should be."""
    before, _, rest = page.partition(f"{_START}\n")
    _, _, after = rest.partition(_END)
    return f"{before}{_START}\n\n{make_tables()}\n\n{_END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
