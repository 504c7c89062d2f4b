"""Tests of ``--shard`` and ``finish``: what shards make together, and leave each other."""

from __future__ import annotations

import random
import re
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline import compact, finish, verify
from pipeline.overview import look
from pipeline.sharding.finishing import Finished, finish_output
from pipeline.telling import as_json, in_words
from tests import command
from tests.command import exit_code_of
from tests.faults.outcome import (
    Outcome,
    assert_equal,
    draw_records,
    read_outcome,
    write_fasta,
    write_inputs,
)
from tests.helpers import files_below
from tests.outputs import report
from tests.waiting import at_each, heard, once, stop
from transforms import events, storage
from transforms.errors import ConfigurationError
from transforms.inputs import reading
from transforms.output import division
from transforms.output.division import read_division
from transforms.output.locks import hold

Capture = pytest.CaptureFixture[str]


embed = partial(command.embed, quiet=False)


def shard(inputs: Path, output: Path, number: int, count: int, *more: object) -> int:
    return embed(inputs, output, "--shard", f"{number}/{count}", *more)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sharding") / "in"
    write_inputs(folder, files=2, records=60)
    return folder


@pytest.fixture(scope="module")
def whole(inputs: Path) -> Outcome:
    output = inputs.parent / "whole"
    assert embed(inputs, output) == 3
    return read_outcome(output)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out"


def text(capsys: Capture) -> str:
    printed = capsys.readouterr()
    return printed.out + printed.err


def test_damage_that_is_found_at_the_end_of_a_shard_is_no_mistake_of_the_command(
    inputs: Path, output: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def find_damage(*_: object) -> None:
        raise ConfigurationError("part-1.json is damaged.")

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.sharding.run.embed", find_damage)
        assert shard(inputs, output, 0, 2) == 1
    assert "part-1.json is damaged" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.sharding.run.read_shares", find_damage)
        assert shard(inputs, output, 0, 2) == 1
    assert "cannot be noted: part-1.json is damaged" in capsys.readouterr().err


def test_a_shard_that_is_started_again_leaves_a_complete_output_complete(
    inputs: Path, whole: Outcome, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a scheduler gives a task twice, or its process dies after its work."""
    assert shard(inputs, output, 0, 2) == 3
    assert shard(inputs, output, 1, 2) == 3
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.sharding.beginning.EsmModelHandler", None)  # needs no model
        assert shard(inputs, output, 1, 2) in (0, 3)
    assert read_division(str(output)) is None
    assert exit_code_of(finish.main, output) == 3
    assert embed(inputs, output) == 3
    assert_equal(read_outcome(output), whole)


def test_of_two_shards_that_end_together_one_completes_the_output(
    inputs: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(
            "pipeline.sharding.run.finish_output", lambda *_, **__: Finished(str(output), "later")
        )
        for number in range(2):
            shard(inputs, output, number, 2)
    read_json, others = division.read_json, []

    def read_slowly(url: str, make: Callable[[Any], Any]) -> Any:
        if "/shard-" in url and not others:
            others.append(url)
            assert finish_output(str(output)).missing == ""
        return read_json(url, make)

    monkeypatch.setattr(division, "read_json", read_slowly)
    assert finish_output(str(output), only_if_ended=True).missing == ""
    assert others


def test_shards_one_after_the_other_make_what_one_run_makes(
    inputs: Path, whole: Outcome, output: Path, capsys: Capture
) -> None:
    assert shard(inputs, output, 0, 3) == 3
    told = text(capsys)
    assert "Shard 0 of 3 is done" in told
    assert "2 of 3 shards have not ended: 1 (not begun), 2 (not begun)" in told
    # Of the two others an even share is to come.
    (progress,) = (line for line in in_words(look(str(output))) if " residues, " in line)
    assert re.match(r"  3\d%: ", progress)
    assert ", 0 of " in progress
    assert shard(inputs, output, 2, 3) == 3

    # Nobody takes it for finished, nor touches it.
    before = files_below(output / "commits")
    text(capsys)
    assert exit_code_of(finish.main, output) == 1
    assert "1 of 3 shards has not ended: 1 (not begun)" in text(capsys)
    refused = [
        lambda: embed(inputs, output),
        lambda: embed(inputs, output, "--overwrite"),
        lambda: shard(inputs, output, 0, 2),
        lambda: exit_code_of(compact.main, output),
    ]
    several = ("--direct_running_mode", "multi_processing")
    assert shard(inputs, output, 1, 3, *several) == 2
    assert "other engines divide it among workers of their own" in text(capsys)
    for call in refused:
        assert call() == 2
        told = text(capsys)
        assert "is being made by 3 shards" in told
        assert "--release" in told
    assert files_below(output / "commits") == before
    seen = look(str(output))
    assert "made by 3 shards. 1 of 3 shards has not ended: 1 (not begun)." in "".join(
        in_words(seen)
    )
    assert [each["has_ended"] for each in as_json(seen)["shards"]] == [True, False, True]
    assert seen.count("finished") == 0
    assert exit_code_of(verify.main, output, "--sample", 0) == 0
    assert "its 3 shards have not completed it: 1 of 3" in text(capsys)

    assert shard(inputs, output, 1, 3) == 3
    assert "The work of 3 shards is complete." in text(capsys)
    assert_equal(read_outcome(output), whole)
    assert not [name for name in files_below(output / "commits") if name.startswith("sha")]
    told = report(output)
    assert [each["shard"] for each in told["shards"]] == [0, 1, 2]
    assert told["metrics"]["attention"] == "packed (each)"
    assert (told["totals"]["read"], told["totals"]["embedded"]) == (120, len(whole.rows))
    assert exit_code_of(verify.main, output, "--sample", 4) == 0
    assert exit_code_of(finish.main, output) == 3
    assert embed(inputs, output) == 3
    assert shard(inputs, output, 0, 2) == 3
    assert read_division(str(output)) is None
    assert shard(inputs, output, 1, 2) == 3
    assert exit_code_of(compact.main, output) == 0
    assert_equal(read_outcome(output), whole)


def leave(output: Path, name: str) -> str:
    path = output / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("0" * 64 + "\n\n")
    return name


def test_a_shard_takes_away_what_it_left_itself_and_nothing_of_another(
    inputs: Path, whole: Outcome, output: Path, capsys: Capture
) -> None:
    assert shard(inputs, output, 2, 4) == 3
    names = [
        ".staging/part-shard-{}-of-4-0123.json.4567",
        "embeddings/part-shard-{}-of-4-0123-0-0-89ab.parquet",
        "dead_letters/part-shard-{}-of-4-0123-0-0-89ab.jsonl",
        ".under_way/note-shard-{}-of-4-0123-4567",
    ]
    theirs = {leave(output, name.format(0)) for name in names}
    ours = {leave(output, name.format(1)) for name in names}
    theirs.add(leave(output, ".staging/a_ESM.pt.0123"))  # of somebody who completes
    begun: set[str] = set()

    with hold(str(output), "shard-0-of-4-0123", "shard-0-of-4"):
        with at_each(events.FileBegun, lambda _: begun.update(files_below(output))):
            assert shard(inputs, output, 1, 4) == 3
        assert begun >= theirs
        assert set(files_below(output)) >= theirs
        assert not ours & begun  # before anything is read
        assert "A run died with 1 sequence under way." in text(capsys)
        assert shard(inputs, output, 3, 4) == 3
        assert "0 (at work)" in text(capsys)
        assert exit_code_of(finish.main, output, "--release") == 2
        assert "To release it, stop it." in text(capsys)
        assert shard(inputs, output, 0, 4) == 2
        assert set(files_below(output)) >= theirs
    assert shard(inputs, output, 0, 4) == 3
    assert not theirs & set(files_below(output))
    assert not (output / ".staging").exists()
    assert_equal(read_outcome(output), whole)


def test_a_release_lets_a_run_without_shards_embed_what_is_left(
    inputs: Path, whole: Outcome, output: Path, capsys: Capture
) -> None:
    assert shard(inputs, output, 1, 3) == 3
    rows = len(read_outcome(output).rows)
    assert exit_code_of(finish.main, output, "--release") == 1
    assert "another number of shards, carries on" in text(capsys)
    assert exit_code_of(finish.main, output) == 1
    assert "go on without --shard" in text(capsys)
    assert embed(inputs, output) == 3
    assert report(output)["totals"]["embedded_this_run"] == len(whole.rows) - rows
    assert_equal(read_outcome(output), whole)


def test_a_run_without_shards_and_a_shard_are_not_at_work_together(
    inputs: Path, output: Path, capsys: Capture
) -> None:
    output.mkdir()
    with hold(str(output), "whole"):
        assert shard(inputs, output, 0, 2) == 2
    assert "A run without --shard is at work" in text(capsys)
    assert not (output / "commits/output.json").exists()


def test_a_file_that_has_changed_is_refused_and_nothing_of_it_goes(
    tmp_path: Path, output: Path, capsys: Capture
) -> None:
    inputs = tmp_path / "in"
    write_inputs(inputs, files=2, records=20)
    assert shard(inputs, output, 0, 2) == 3
    before = read_outcome(output)
    write_fasta(inputs / "f1.faa", draw_records(random.Random(1), 20, "other"))
    for number in range(2):
        assert shard(inputs, output, number, 2) == 2
        told = text(capsys)
        assert "f1.faa has changed since records of it were embedded" in told
        assert "--release" in told
    assert_equal(read_outcome(output), before)
    assert exit_code_of(finish.main, output, "--release") == 1
    assert embed(inputs, output) == 3
    assert "other_0" in {row["id"] for row in read_outcome(output).rows}
    assert exit_code_of(verify.main, output, "--sample", 0) == 0


def test_a_file_that_one_shard_cannot_read_is_finished_when_it_can(
    inputs: Path, whole: Outcome, output: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(url: str, chunk_size: int = 0) -> Iterator[bytes]:
        if url.endswith("f0.faa"):
            raise OSError(f"{url} is on a server that is away")
        yield from storage.open_chunks(url)

    assert shard(inputs, output, 0, 2) == 3
    with monkeypatch.context() as patch:
        patch.setattr(reading, "storage", SimpleNamespace(**vars(storage) | {"open_chunks": fail}))
        assert shard(inputs, output, 1, 2) == 1
    told = text(capsys)
    assert "not complete, though all shards have ended" in told
    assert "f0.faa: it could not be read by shard 1. Give the same command again there." in told
    assert "broken" not in told.partition("though")[2]  # it is settled: nobody can read it
    assert exit_code_of(finish.main, output) == 1
    assert shard(inputs, output, 1, 2) == 3
    assert_equal(read_outcome(output), whole)


def test_a_new_input_is_for_the_shards_that_have_ended_too(
    tmp_path: Path, output: Path, capsys: Capture
) -> None:
    inputs = tmp_path / "in"
    write_inputs(inputs, files=1, records=20)
    assert shard(inputs, output, 0, 2) == 3
    write_fasta(inputs / "new.faa", draw_records(random.Random(1), 20, "new"))
    assert shard(inputs, output, 1, 2) == 1
    assert "new.faa: it was not among the inputs of shard 0." in text(capsys)
    assert shard(inputs, output, 0, 2) == 3
    assert (output / "pt/new_ESM.pt").exists()


def test_a_shard_that_is_told_to_stop_drains_and_carries_on(
    inputs: Path, whole: Outcome, output: Path, capsys: Capture
) -> None:
    with at_each(events.FileOpened, stop):
        assert shard(inputs, output, 0, 1) == 128 + signal.SIGTERM
    assert "The same command carries on from there." in text(capsys)
    assert exit_code_of(finish.main, output) == 1
    assert "0 (stopped)" in text(capsys)
    assert shard(inputs, output, 0, 1) == 3
    assert_equal(read_outcome(output), whole)
    assert storage.list_names(str(output / ".under_way")) == []


def test_a_completion_that_breaks_off_is_completed_by_the_next(
    inputs: Path, whole: Outcome, output: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = leave(output, "embeddings/part-0123-0-0-89ab.parquet")  # by a run without shards
    leave(output, "commits/output.json")
    bound = (inputs.parent / "whole/commits/output.json").read_bytes()
    (output / "commits/output.json").write_bytes(bound)
    assert shard(inputs, output, 0, 2) == 3
    assert killed not in files_below(output)

    def fail(*args: object) -> None:
        raise OSError("No space left on device")

    with hold(str(output), "shard-0-of-2-0123", "shard-0-of-2"):  # it has not let go yet
        assert shard(inputs, output, 1, 2) == 3
    assert "A shard is at work" in text(capsys)
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.sharding.finishing.write_report", fail)
        assert shard(inputs, output, 1, 2) == 1
    assert "The share is done, but the output is not complete" in text(capsys)
    with monkeypatch.context() as patch:
        patch.setattr("transforms.output.division._delete", fail)  # when it does not count any more
        assert exit_code_of(finish.main, output) == 1
    assert read_division(str(output)) is None
    assert exit_code_of(finish.main, output) == 3
    assert exit_code_of(verify.main, output, "--sample", 0) == 0
    assert_equal(read_outcome(output), whole)
    # What is left of the first division does not count in the next.
    later = inputs / "later.fa"
    later.write_text(">later\nMKV\n")
    try:
        assert shard(inputs, output, 0, 2) in (0, 3)
    finally:
        later.unlink()
    assert "1 of 2 shards has not ended: 1 (stopped)" in text(capsys)


def test_shards_go_on_with_what_a_run_without_them_has_begun(tmp_path: Path, output: Path) -> None:
    inputs = tmp_path / "in"
    write_inputs(inputs, files=1, records=200)
    with at_each(events.RecordsEmbedded, once(stop)), heard(events.RecordsEmbedded) as begun:
        assert embed(inputs, output, "--toks_per_batch", 20) == 128 + signal.SIGTERM
    with heard(events.RecordsEmbedded) as rest:
        assert [shard(inputs, output, number, 2) for number in range(2)] == [3, 3]
    assert begun
    assert rest
    assert sum(event.records for event in [*begun, *rest]) == 196  # nothing twice
    assert exit_code_of(verify.main, output, "--sample", 4) == 0
