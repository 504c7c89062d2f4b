"""``python -m pipeline.launch ENGINE``: the ordinary run, on an engine with many workers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import NoReturn

from pipeline.terminal import EXIT_OK, allow_any_text, quiet_imports, say
from pipeline.verbs import end_verb
from pipeline.versions import tell_versions

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
    engine, *rest = (sys.argv[1:] if argv is None else argv) or [""]
    if engine in ("-h", "--help", "--version"):
        say(tell_versions() if engine == "--version" else USAGE.rstrip())
        sys.exit(EXIT_OK)
    quiet_imports()
    end_verb(partial(run, engine, rest), stopped="Stopped before anything was launched.")


def run(engine: str, options: Sequence[str]) -> int:
    """Runs the pipeline on an engine, or tells what would be run, and returns the exit code."""
    from pipeline.launching import command as launching
    from pipeline.run import main

    ready = launching.prepare(engine, options)
    if not ready.is_dry:
        main(ready.argv)
    say("\n".join(launching.describe(ready)))
    return EXIT_OK


if __name__ == "__main__":
    main()
