"""What everything but the model's forward passes costs for each record, step by step.

Embeds inputs with the demo model in this process and subtracts what its forward passes took by
their own account. Imports and the loading of the model are not counted; the building of the graph
and the report are. Then, with a stand-in for the model that costs next to nothing, it does the same
with that input and with one four times as large, and runs the line up to each of its steps: the
differences are what the steps cost. In turn with it runs a plain line of Beam's for the same input
(``benchmarks/plain_line.py``), for a microsecond is not the same on two machines. The best of a few
rounds counts, by the clock and in processor time; all on one core.

Layouts: ``one`` file of natural proteins; ``many`` files of four records; ``reads``, one file of
short ones in passes of 32,768 tokens and vectors of 1,280 values, as on a GPU.
"""

from __future__ import annotations

import argparse
import gc
import gzip
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.keeping import Kept
from benchmarks.mixes import SOURCE, read_sequences, write_random
from benchmarks.plain_line import run_plain_line
from benchmarks.weights import Shape, write_checkpoint
from pipeline import graph
from pipeline.checks import prepare
from pipeline.dispatch import dispatch
from pipeline.option_groups.values import positive
from pipeline.options import RunConfig, parse_options
from pipeline.runners import run_graph
from transforms import events
from transforms.esm.architecture import DEMO_CONFIG
from transforms.esm.checkpoints import DEMO_MODEL
from transforms.esm.encoder import PackedEncoder
from transforms.esm.model import EsmModelHandler, ModelConfig, keep_model
from transforms.esm.packing import Pack
from transforms.inputs.finding import FindFasta

Cost = dict[str, float]
GROWTH = 4
STEPS = (
    "find", "read", "residues", "skip", "batch", "infer", "validate", "parts", "complete", "pt",
)  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """What is embedded.

    Attributes:
        per_file: Records of a file; None for all in one.
        residues: Of each record at the most; None for all that the source has.
        shape: Of the checkpoint whose place the stand-in takes; None for the demo model.
        options: More of the run's.
    """

    per_file: int | None = None
    residues: int | None = None
    shape: Shape | None = None
    options: tuple[str, ...] = ()


LAYOUTS = {
    "one": Layout(),
    "many": Layout(per_file=4, residues=60),
    "reads": Layout(
        residues=120,
        shape=Shape(layers=1, hidden=1280, heads=20, ffn=1280),
        options=("--toks_per_batch", "32768"),
    ),
}


class Forward:
    """Listens to a run and adds up what its forward passes took."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, event: events.Event) -> None:
        """Takes note of an event."""
        if isinstance(event, events.PassComputed):
            self.seconds += event.seconds


class Nothing(PackedEncoder):
    """Stands in for a model: it looks a vector up for the first residue of each sequence."""

    def __init__(self, width: int) -> None:
        nn.Module.__init__(self)
        self.name = "none"
        self.vectors = nn.Embedding(33, width)

    def embed(self, packed: Pack) -> torch.Tensor:
        """Returns what an ESM-2 would, but for its values."""
        return self.vectors(packed.token_ids[packed.boundaries[:-1] + 1])


class FirstSteps:
    """Stands in for a pipeline or its end, and lets the first so many steps be applied to it."""

    def __init__(self, end: Any, steps: int) -> None:
        self.end = end
        self.steps = steps

    def __or__(self, step: Any) -> FirstSteps:
        return FirstSteps(self.end | step, self.steps - 1) if self.steps else self


@dataclass(frozen=True)
class Inputs:
    """The inputs of one layout.

    Attributes:
        name: Of the layout.
        layout: The layout.
        model: What ``--model`` is given.
        records: How many the smaller one has.
        folders: Where each lies, by its records.
    """

    name: str
    layout: Layout
    model: str
    records: int
    folders: dict[int, Path]

    def configure(self, records: int) -> RunConfig:
        """Returns the configuration of a run into a new output.

        It is left there until the end: ext4 is slow to make files where some were deleted before.
        """
        folder = self.folders[records]
        output = tempfile.mkdtemp(dir=folder.parent)
        return parse_options(
            ["--input", str(folder), "--output", f"{output}/out", "--model", self.model]
            + ["--device", "cpu", "--quiet", *self.layout.options]
        )

    @property
    def width(self) -> int:
        """Values of a vector."""
        return self.layout.shape.hidden if self.layout.shape else int(DEMO_CONFIG["hidden_size"])

    def stand_in(self) -> None:
        """Puts the stand-in into the place of the model: a new one, to which no vector is known."""
        keep_model(self.model, Nothing(self.width))


def timed(records: int, action: Callable[[], object]) -> Cost:
    """Returns microseconds per record of all that an action does but its forward passes."""
    forward = Forward()
    gc.collect()
    with events.listening(forward):
        clock, processor = time.perf_counter(), time.process_time()
        action()
        clock, processor = time.perf_counter() - clock, time.process_time() - processor
    per_record = 1e6 / records
    return {
        "clock": round((clock - forward.seconds) * per_record, 2),
        # Passes are timed by the clock: too much is subtracted where others are at work too.
        "processor": round((processor - forward.seconds) * per_record, 2),
        "forward": round(forward.seconds * per_record, 2),
    }


def best(rounds: int, *each: Callable[[], Cost]) -> list[Cost]:
    """Measures in turn, and returns the least of each figure of each."""
    costs = zip(*([measure_once() for measure_once in each] for _ in range(rounds)), strict=True)
    return [{name: min(cost[name] for cost in of_one) for name in of_one[0]} for of_one in costs]


def time_run(inputs: Inputs, records: int, stand_in: bool = True) -> Cost:
    """Embeds one of the inputs as the command does."""
    if stand_in:
        inputs.stand_in()
    config = inputs.configure(records)
    return timed(records, lambda: dispatch(config))


def time_plain_line(inputs: Inputs) -> Cost:
    """Reads and writes the smaller input by the plain line."""
    folder = inputs.folders[inputs.records]
    output = Path(tempfile.mkdtemp(dir=folder.parent))
    files = sorted(folder.iterdir())
    cost = timed(inputs.records, lambda: run_plain_line(files, output, inputs.width))
    finished = len((output / "finished").read_text().splitlines())
    assert finished == len(files), f"{finished} of {len(files)} files"
    return cost


def time_first_steps(inputs: Inputs, steps: int) -> Cost:
    """Runs the graph up to one of its steps, with the smaller input and the stand-in."""
    inputs.stand_in()
    with ExitStack() as held:
        plan = prepare(inputs.configure(inputs.records), held)

        def build(pipeline: Any) -> None:
            graph.build(
                FirstSteps(pipeline, steps),  # type: ignore[arg-type]
                FindFasta(plan.todo),
                plan.embed,
                plan.output,
                plan.checkpoint_seconds,
            )

        return timed(inputs.records, lambda: run_graph(build, ()))


def make_inputs(folder: Path, name: str, records: int) -> Inputs:
    """Makes the inputs of a layout. ``one`` has as many records as its source, if that is there."""
    layout, model = LAYOUTS[name], DEMO_MODEL
    sequences = [sequence[: layout.residues] for sequence in read_sequences()]
    if name == "one" and SOURCE:
        records = len(sequences)
    folders = {}
    for count in (records, GROWTH * records):
        folders[count] = folder / f"{name}-{count}"
        write_random(folders[count], sequences, count, layout.per_file or count)
        if layout.per_file is None:
            (file,) = folders[count].iterdir()
            file.with_suffix(".fasta.gz").write_bytes(gzip.compress(file.read_bytes()))
            file.unlink()
    if layout.shape:
        model = str(write_checkpoint(folder / f"{name}-model", layout.shape))
    return Inputs(name, layout, model, records, folders)


def measure(inputs: Inputs, rounds: int) -> dict[str, Any]:
    """Measures one layout, without a model that is worth the name."""
    clocks = ("clock", "processor")
    plain, *totals = best(
        rounds,
        partial(time_plain_line, inputs),
        *(partial(time_run, inputs, records) for records in inputs.folders),
    )
    small, large = totals
    steps = [partial(time_first_steps, inputs, number + 1) for number in range(len(STEPS))]
    return {
        "layout": inputs.name,
        "records": inputs.records,
        "stand_in": dict(zip(inputs.folders, totals, strict=True)),
        "growth": {clock: round(GROWTH * large[clock] / small[clock], 3) for clock in clocks},
        "plain_line": plain,
        "to_plain_line": {clock: round(small[clock] / plain[clock], 3) for clock in clocks},
        "up_to_step": dict(zip(STEPS, best(rounds, *steps), strict=True)),
    }


def show(result: dict[str, Any]) -> None:
    """Prints the result of a layout."""
    print(f"{result['layout']}: {result['records']:,} records, microseconds per record")
    print(f"  demo model: {result.get('demo_model')}")
    for records, total in result["stand_in"].items():
        print(f"  stand-in, {records:,} records: {total}")
    print(f"  the plain line: {result['plain_line']}; ours {result['to_plain_line']} times that")
    print(f"  {GROWTH} times the input takes {result['growth']} times as long")
    before = {"clock": 0.0, "processor": 0.0}
    for name, total in result["up_to_step"].items():
        step = {clock: round(total[clock] - before[clock], 1) for clock in before}
        print(f"  {name:9} clock {step['clock']:6} processor {step['processor']:6}")
        before = total


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this benchmark."""
    add = parser.add_argument
    add("--layout", nargs="+", choices=LAYOUTS, default=["one", "many"])
    add("--records", type=positive, default=20_000, help="of the smaller input (%(default)s)")
    add("--no_demo", dest="demo", action="store_false", help="only with the stand-in")
    add("--rounds", type=positive, default=3, help="times that everything is done (%(default)s)")


def run(options: argparse.Namespace, kept: Kept) -> int:
    """Measures each layout."""
    torch.set_num_threads(1)
    EsmModelHandler(ModelConfig(DEMO_MODEL, dtype="float32", device="cpu")).load_model()
    with tempfile.TemporaryDirectory(prefix="frame-") as folder:
        layouts = [make_inputs(Path(folder), each, options.records) for each in options.layout]
        # What is imported on the way is imported now.
        write_random(Path(folder, "first"), ["MKTAYIAKQR"], 9, 9)
        time_run(Inputs("first", Layout(), DEMO_MODEL, 9, {9: Path(folder, "first")}), 9, False)
        # All with the model first: then the stand-in takes its place.
        demo = [
            {"demo_model": time_run(each, each.records, stand_in=False)}
            if options.demo and each.model == DEMO_MODEL
            else {}
            for each in layouts
        ]
        results = []
        for inputs, with_model in zip(layouts, demo, strict=True):
            results.append(measure(inputs, options.rounds) | with_model)
            show(results[-1])
            kept.keep({"layouts": results})
    return 0
