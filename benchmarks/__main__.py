"""``python -m benchmarks COMMAND``; ``--help`` lists them."""

from __future__ import annotations

import argparse

from benchmarks import device, exactness, gate, growth, report


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of all subcommands."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    commands = parser.add_subparsers(required=True)
    for add in (
        report.add_peers,
        report.add_plot,
        exactness.add_exactness,
        growth.add_growth,
        gate.add_gate,
        device.add_device,
    ):
        add(commands)
    return parser


def main() -> int:
    """Runs a subcommand and returns its exit code."""
    options = make_parser().parse_args()
    code: int = options.run(options)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
