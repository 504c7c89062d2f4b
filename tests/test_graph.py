from __future__ import annotations

import gzip
import itertools
import random
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
import torch
from apache_beam.portability.api import beam_runner_api_pb2

from pipeline.graph import build
from pipeline.runners import run_graph
from tests.helpers import make_output
from transforms import storage
from transforms.batching import BatchByTokens
from transforms.embed import EmbedConfig
from transforms.esm.model import ModelConfig
from transforms.inputs.finding import FindFasta, find_fasta
from transforms.inputs.spreading import ReadRanges
from transforms.items import Item
from transforms.output.commits import Output, read_commits
from transforms.output.committed import read_dead_letters, read_rows

STEPS = [
    "Find FASTA",
    "Read FASTA",
    "Check residues",
    "Skip committed",
    "Batch by tokens",
    "Run inference",
    "Validate embeddings",
    "Write parts",
    "Complete files",
    "Write ESM pt",
]


@pytest.fixture(autouse=True)
def _small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """With several lanes, files of some records are cut too."""
    monkeypatch.setattr("pipeline.graph.ReadRanges", partial(ReadRanges, range_bytes=300))


def is_bad(ordinal: int) -> bool:
    return ordinal % 7 == 3


def write_inputs(folder: Path, files: int = 6, seed: int = 1) -> dict[str, list[str]]:
    """Writes FASTA files of 0 to 50 records, every seventh a bad one; returns their ids."""
    draw = random.Random(seed)
    folder.mkdir()
    ids: dict[str, list[str]] = {}
    for n in range(files):
        count = draw.randrange(1, 51) if n else 0
        ids[f"f{n}.faa"] = [f"f{n}_{i}" for i in range(count)]
        text = "".join(
            f">f{n}_{i} a record\n{'1' * is_bad(i)}{''.join(draw.choices('ACDEFGHIKL', k=9 + i))}\n"
            for i in range(count)
        )
        (folder / f"f{n}.faa").write_text(text)
    (folder / "broken.faa.gz").write_bytes(gzip.compress(b">x\nMK\n" * 99)[:-9])
    return ids


def run(
    inputs: Path, output: Output, checkpoint: Path, *beam_args: str, lanes: int = 1,
    checkpoint_seconds: float = 60.0,
) -> Mapping[str, int | str]:  # fmt: skip
    model = ModelConfig(str(checkpoint), device="cpu", dtype="float32", toks_per_batch=100)
    config = EmbedConfig(model=model, dim=32, lanes=lanes)
    files = find_fasta([str(inputs)]).files
    graph = partial(
        build,
        source=FindFasta(files),
        config=config,
        output=output,
        checkpoint_seconds=checkpoint_seconds,
    )
    return run_graph(graph, beam_args)


def check_output(output: Output, ids: dict[str, list[str]]) -> None:
    committed = read_commits(output.root)
    assert committed.failed_sources() == {"broken.faa.gz"}
    assert committed.files.keys() == ids.keys()
    for source, expected in ids.items():
        parts = committed.by_source().get(source, [])
        rows = [held for part in parts if (held := read_rows(output.root, part, source))]
        vectors = {o: v for held in rows for o, v in zip(held.ordinals, held.vectors, strict=True)}
        dead = [d.ordinal for p in parts for d in read_dead_letters(output.root, p, source)]
        assert sorted([*vectors, *dead]) == list(range(len(expected)))
        assert sum(len(held.ordinals) for held in rows) == len(vectors)
        assert sorted(dead) == list(filter(is_bad, range(len(expected))))
        pt = torch.load(f"{output.root}/{committed.files[source].pt}", weights_only=True)
        assert pt["proteins"] == [expected[o] for o in sorted(vectors)]
        for o, tensor in zip(sorted(vectors), pt["data"], strict=True):
            assert torch.equal(tensor, torch.from_numpy(vectors[o]))


RUNNERS = {
    "in memory": (),
    "threads": (
        "--runner=FnApiRunner", "--direct_running_mode=multi_threading", "--direct_num_workers=2",
    ),
    "bundles": ("--runner=BundleBasedDirectRunner",),
}  # fmt: skip


@pytest.mark.parametrize(
    ("runner", "lanes"),
    [
        ("in memory", 1), ("in memory", 3), ("threads", 3), ("bundles", 1), ("bundles", 3),
    ],
)  # fmt: skip
def test_every_record_comes_out_on_every_engine_of_this_process(
    runner: str, lanes: int, tmp_path: Path, output: Output, tiny_checkpoint: Path
) -> None:
    ids = write_inputs(tmp_path / "in")
    counted = run(tmp_path / "in", output, tiny_checkpoint, *RUNNERS[runner], lanes=lanes)
    check_output(output, ids)
    records = sum(map(len, ids.values()))
    bad = sum(is_bad(ordinal) for each in ids.values() for ordinal in range(len(each)))
    expected = {
        "files_opened": 6, "files_finished": 6, "files_failed": 1,
        "file_latency_milliseconds_count": 6,
        "records_read": records, "records_embedded": records - bad, "rows_committed": records - bad,
        "dead_letters_residues_invalid_residue": bad, "dead_letters_read_truncated": 1,
    }  # fmt: skip
    if runner != "bundles":  # it does not report what is counted when timers fire
        assert {name: counted.get(name) for name in expected} == expected


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", [0, 1, 2, 3, 4, 5, 6, 9, 13])
def test_a_bundle_that_is_tried_again_loses_and_doubles_nothing(
    call: int,
    after: bool,
    tmp_path: Path,
    output: Output,
    tiny_checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = write_inputs(tmp_path / "in")
    publish, calls, raised = storage.publish, itertools.count(), []

    def failing(*args: Any) -> None:
        fails = next(calls) == call
        if after or not fails:
            publish(*args)
        if fails:
            raised.append(args)
            raise OSError("a glitch")

    monkeypatch.setattr(storage, "publish", failing)
    run(
        tmp_path / "in", output, tiny_checkpoint, *RUNNERS["bundles"], lanes=2,
        checkpoint_seconds=1e-9,
    )  # fmt: skip
    assert len(raised) == 1
    assert len(read_commits(output.root).parts) > 3
    check_output(output, ids)


@pytest.mark.parametrize("lanes", [1, 3])
def test_a_second_run_uses_what_the_first_has_committed(
    lanes: int, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    ids = write_inputs(tmp_path / "in")
    first = make_output(tmp_path, run="first")
    run(tmp_path / "in", first, tiny_checkpoint, lanes=lanes)
    before = read_commits(first.root).parts
    for record in (Path(first.root) / "commits").glob("files-*"):
        record.unlink()  # as if killed before any file was finished
    second = make_output(tmp_path, run="second")
    run(tmp_path / "in", second, tiny_checkpoint, lanes=lanes)
    assert read_commits(first.root).parts == before
    check_output(second, ids)


def built(tmp_path: Path) -> beam.Pipeline:
    pipeline = beam.Pipeline(runner="FnApiRunner")
    build(
        pipeline, FindFasta([]), EmbedConfig(model=ModelConfig("demo")), make_output(tmp_path), 60.0
    )
    return pipeline


def test_the_graph_is_one_line_in_the_documented_order(tmp_path: Path) -> None:
    pipeline = built(tmp_path)
    steps = pipeline.transforms_stack[0].parts
    assert [step.full_label for step in steps] == STEPS
    for step, following in zip(steps, steps[1:], strict=False):
        assert set(step.outputs.values()) == set(following.inputs)


def test_every_step_takes_and_gives_items(tmp_path: Path) -> None:
    for step in built(tmp_path).transforms_stack[0].parts[1:]:
        (out,) = step.outputs.values()
        assert out.element_type is Item, step.full_label


def test_resource_hints_are_those_of_the_inference_step_alone(tmp_path: Path) -> None:
    hints = (("accelerator", "type:t;count:1"), ("max_active_bundles_per_worker", "2"))
    pipeline = beam.Pipeline(runner="FnApiRunner")
    config = EmbedConfig(model=ModelConfig("demo"), hints=hints)
    build(pipeline, FindFasta([]), config, make_output(tmp_path), 60.0)
    held = pipeline.to_runner_api().components
    leaves = [
        transform
        for transform in held.transforms.values()
        if transform.environment_id and not transform.subtransforms
    ]
    assert {leaf.unique_name.partition("/")[0] for leaf in leaves} == set(STEPS)
    for leaf in leaves:
        found = {
            urn.split(":")[2]: value.decode()
            for urn, value in held.environments[leaf.environment_id].resource_hints.items()
        }
        assert found == (dict(hints) if leaf.unique_name.startswith("Run inference") else {})


def timer_families(pipeline: beam.Pipeline) -> list[str]:
    found = []
    for transform in pipeline.to_runner_api().components.transforms.values():
        if transform.spec.urn == "beam:transform:pardo:v1":
            payload = beam_runner_api_pb2.ParDoPayload.FromString(transform.spec.payload)
            found += list(payload.timer_family_specs)
    return found


def test_no_two_timers_of_a_pipeline_share_a_name(tmp_path: Path) -> None:
    pipeline = built(tmp_path)
    items = pipeline | "More" >> beam.Create([])
    items | "One" >> BatchByTokens(9) | "Other" >> BatchByTokens(9)
    families = timer_families(pipeline)
    assert len(families) == 4
    assert len(set(families)) == 4
