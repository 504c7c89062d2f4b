"""``python -m pipeline.status OUT``: what is committed, and whether a run is at work."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from typing import NoReturn

from pipeline.terminal import allow_any_text, say

EPILOG = """\
Only reads: it may be asked at any time, also while a run is at work or after a crash.

Exit codes: 0 whatever the status is; 2 there is no output to tell of.
"""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Tells the status of an output and exits."""
    allow_any_text()
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.status",
        description="Tells what an output holds and how far the run in it is.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("output", metavar="OUT", help="the --output of a run")
    parser.add_argument("--all", action="store_true", help="tell of every file, not only of some")
    parser.add_argument("--json", action="store_true", help="tell everything as one JSON object")
    options = parser.parse_args(argv)
    # Beam warns at import of a client that it does not find and that nobody here needs.
    logging.getLogger().setLevel(logging.ERROR)
    from pipeline import overview, telling
    from transforms.errors import ConfigurationError

    try:
        seen = overview.look(options.output)
    except ConfigurationError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    if options.json:
        told = json.dumps(telling.as_json(seen), indent=1)
    else:
        told = "\n".join(telling.in_words(seen, all_files=options.all))
    say(told)
    sys.exit(0)


if __name__ == "__main__":
    main()
