"""How fast this is, and how fast others are: every program in processes of its own.

What is measured, and what the programs are: docs/performance.md.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.commands.plot import show
from benchmarks.compare import compare_mix
from benchmarks.entries import MEASURED
from benchmarks.keeping import Kept
from benchmarks.mixes import MIXES
from benchmarks.settings import add_fastplms, add_settings, make_setting
from pipeline.option_groups.values import positive


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this benchmark."""
    add_settings(parser)
    add = parser.add_argument
    add("--mix", nargs="+", choices=tuple(MIXES), default=list(MIXES), help="inputs (%(default)s)")
    add("--records", type=positive, default=2000, help="of an input (%(default)s)")
    add("--tuning_records", type=positive, help="on which budgets are tried (default: all of them)")
    add("--rounds", type=positive, default=3, help="times each is measured (%(default)s)")
    add("--only", type=_names, default=MEASURED, help=f"some of {','.join(MEASURED)}")
    add("--toks_per_batch", type=positive, help="of ours (default: the pipeline's own)")
    add_fastplms(parser)


def run(options: argparse.Namespace, kept: Kept) -> int:
    """Measures, writes the result after each input, prints the table and draws it."""
    mixes: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        setting = make_setting(options, Path(folder))
        for mix in options.mix:
            work = Path(folder, mix)
            work.mkdir()
            mixes[mix] = compare_mix(mix, options, replace(setting, work=work))
            result = kept.keep({"dtype": setting.dtype, "mixes": mixes})
    show(result, kept.path)
    return 0


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := set(names) - set(MEASURED):
        raise argparse.ArgumentTypeError(f"no such entry: {', '.join(sorted(unknown))}")
    return names
