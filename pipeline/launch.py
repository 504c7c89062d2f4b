"""``python -m pipeline.launch ENGINE``: the ordinary run, on an engine with many workers."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import NoReturn

from pipeline.terminal import EXIT_USAGE, allow_any_text, complain, say

USAGE = """\
usage: python -m pipeline.launch dataflow|flink|portable [options]

Runs `python -m pipeline` on an engine that has workers elsewhere, with the options of Beam that it
needs. Give --help after the engine to see what is asked of each, and --dry_run to see what would be
run. docs/launching.md tells more.

Exit codes: those of `python -m pipeline`; 2 also for what is refused.
"""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and exits with its code."""
    allow_any_text()
    engine, *rest = [*(sys.argv[1:] if argv is None else argv), ""]
    if engine in ("-h", "--help"):
        print(USAGE, end="")
        sys.exit(0)
    # Beam warns at import of a client that it does not find and that nobody here needs.
    logging.getLogger().setLevel(logging.ERROR)
    from pipeline import launching, run
    from transforms.errors import ConfigurationError

    try:
        ready = launching.prepare(engine, rest[:-1])
        if not ready.is_dry:
            run.main(ready.argv)
        say("\n".join(launching.describe(ready)))
    except ConfigurationError as error:
        complain(str(error))
        sys.exit(EXIT_USAGE)
    sys.exit(0)


if __name__ == "__main__":
    main()
