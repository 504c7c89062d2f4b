"""``python -m benchmarks NAME``, each a file of ``benchmarks/commands``; ``--help`` lists them."""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from benchmarks.keeping import Kept

COMMANDS = {
    path.stem: (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
    for path in sorted(Path(__file__).with_name("commands").glob("[a-z]*.py"))
}
"""What each is for, read from its first line: not all of them need be imported to list them."""


def make_parser(name: str) -> argparse.ArgumentParser:
    """Returns the parser of a benchmark."""
    command = import_module(f"benchmarks.commands.{name}")
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks {name}",
        description=command.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_options(parser)
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="where the JSON goes (benchmarks/results/)"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a benchmark and returns its exit code."""
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name not in COMMANDS:
        print("usage: python -m benchmarks NAME [options]\n")
        for command, purpose in COMMANDS.items():
            print(f"  {command:10} {purpose}")
        return 0 if name in ("-h", "--help") else 2
    options = make_parser(name).parse_args(rest)
    kept = Kept(name, options)
    code: int = import_module(f"benchmarks.commands.{name}").run(options, kept)
    if kept.path.exists():
        print(f"See {kept.path}.", file=sys.stderr)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
