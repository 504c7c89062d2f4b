"""The commands that compare with other programs and draw what came out."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.compare import Settings, compare_mix
from benchmarks.entries import ENTRIES
from benchmarks.machine import RESULTS, count_cores, describe
from benchmarks.mixes import MIXES
from benchmarks.plot import plot
from benchmarks.table import fill_page, format_table
from benchmarks.weights import SHAPES, write_checkpoint


def add_peers(commands: Any) -> None:
    """Adds the subcommand ``peers``."""
    parser = commands.add_parser("peers", help="how fast this is, and how fast others are")
    add = parser.add_argument
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--shape", choices=tuple(SHAPES), default="8M", help="of the model (%(default)s)")
    add("--mix", choices=(*MIXES, "both"), default="both", help="the input (%(default)s)")
    add("--records", type=int, default=2000, help="of an input (%(default)s)")
    add("--tuning-records", type=int, help="on which budgets are tried (default: all of them)")
    add("--dtype", choices=("float32", "float16", "bfloat16"), help="float32, on CUDA float16")
    add("--threads", type=int, default=count_cores(), help="of the CPU (%(default)s)")
    add("--rounds", type=int, default=3, help="times each is measured (%(default)s)")
    add("--only", type=_names, default=tuple(ENTRIES), help=f"some of {','.join(ENTRIES)}")
    add("--toks-per-batch", type=int, help="of ours (default: the pipeline's own)")
    add("--fastplms", type=Path, metavar="DIR", help="a checkout of github.com/Synthyra/FastPLMs")
    add(
        "--python",
        type=_python,
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="the interpreter of an entry that cannot live in this environment",
    )
    add("--output", type=Path, metavar="FILE", help="where the JSON goes (benchmarks/results)")
    parser.set_defaults(run=run_peers)


def add_plot(commands: Any) -> None:
    """Adds the subcommand ``plot``."""
    parser = commands.add_parser("plot", help="print the table of a result and draw it")
    parser.add_argument("result", type=Path, metavar="FILE.json")
    parser.add_argument("--page", type=Path, metavar="FILE.md", help="put the tables in there too")
    parser.set_defaults(run=run_plot)


def run_peers(options: argparse.Namespace) -> int:
    """Measures, writes the result after each input, prints the table and draws it."""
    dtype = options.dtype or ("float32" if options.device == "cpu" else "float16")
    settings = Settings(
        names=options.only,
        shape=SHAPES[options.shape],
        device=options.device,
        dtype=dtype,
        threads=options.threads,
        records=options.records,
        tuning_records=options.tuning_records or options.records,
        rounds=options.rounds,
        budget=options.toks_per_batch,
        fastplms=options.fastplms.resolve() if options.fastplms else None,
        pythons=dict(options.python),
    )
    now = datetime.now(UTC)
    result: dict[str, Any] = {
        "time": now.isoformat(timespec="seconds"),
        "machine": describe() | describe_gpu(options.device),
        "shape": options.shape,
        "device": options.device,
        "dtype": dtype,
        "threads": options.threads,
        "mixes": {},
    }
    name = f"peers-{now.date()}-{options.device}-{options.shape}.json"
    path = options.output or RESULTS / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        checkpoint = write_checkpoint(Path(folder, "checkpoint"), settings.shape)
        for mix in MIXES if options.mix == "both" else (options.mix,):
            work = Path(folder, mix)
            work.mkdir()
            result["mixes"][mix] = compare_mix(mix, settings, checkpoint, work)
            path.write_text(json.dumps(result, indent=1) + "\n")
    _show(result, path)
    return 0


def run_plot(options: argparse.Namespace) -> int:
    """Prints and draws a result of an earlier run."""
    result = json.loads(options.result.read_text())
    _show(result, options.result)
    if options.page:
        options.page.write_text(fill_page(options.page.read_text(), result))
    return 0


def _show(result: dict[str, Any], path: Path) -> None:
    print(format_table(result))
    try:
        picture = plot(result, path.with_suffix(".png"))
    except ImportError as error:
        print(f"No picture: {error}. pip install '.[bench]'", file=sys.stderr)
    else:
        print(f"See {path.name} and {picture.name}.", file=sys.stderr)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := set(names) - ENTRIES.keys():
        raise argparse.ArgumentTypeError(f"no such entry: {', '.join(sorted(unknown))}")
    return names


def _python(text: str) -> tuple[str, str]:
    name, _, path = text.partition("=")
    if name not in ENTRIES or not Path(path).exists():
        raise argparse.ArgumentTypeError(f"not an entry and an interpreter: {text}")
    return name, path


def describe_gpu(device: str) -> dict[str, str]:
    """Returns name and CUDA version of a GPU; nothing of a CPU."""
    if device != "cuda":
        return {}
    import torch

    return {"gpu": torch.cuda.get_device_name(), "cuda": str(torch.version.cuda)}
