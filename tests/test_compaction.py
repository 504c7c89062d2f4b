"""Tests of ``python -m pipeline.compact``, alone and beside a run."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import ModuleType

import pytest

from pipeline import checks, compact, compaction, ending, verify
from pipeline.compaction import Compaction, compact_output
from pipeline.overview import look
from pipeline.telling import in_words
from tests.command import embed, exit_code_of
from tests.faults.outcome import Outcome, draw_records, read_outcome, write_fasta
from tests.helpers import files_below
from tests.outputs import report
from tests.waiting import at_each, heard
from transforms import events, local, storage
from transforms.output import resuming
from transforms.output.commits import read_commits
from transforms.output.holders import COMPACT, PARTS
from transforms.output.locks import hold, hold_parts

RECORDS = 70


def write_input(folder: Path, name: str, records: int = RECORDS) -> Path:
    folder.mkdir(exist_ok=True)
    write_fasta(folder / name, draw_records(random.Random(name), records, name))
    return folder / name


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what four runs have left, and a copy of it."""
    folder = tmp_path_factory.mktemp("made")
    inputs, output = folder / "in", folder / "out"
    for name in ("a.faa", "c.faa", "b.faa"):
        assert embed(write_input(inputs, name), output) == 3
    (inputs / "broken.faa").write_text("no FASTA\n")
    assert embed(inputs / "broken.faa", output) == 3
    for path in (inputs, output):
        shutil.copytree(path, folder / "kept" / path.name)
    return folder


@pytest.fixture
def output(made: Path) -> Path:
    """Seven parts or more, with dead letters and a file that failed; the inputs lie beside it."""
    for kept in (made / "kept").iterdir():
        shutil.rmtree(made / kept.name)
        shutil.copytree(kept, made / kept.name)
    return made / "out"


def pts(output: Path) -> dict[str, bytes]:
    return {name: (output / "pt" / name).read_bytes() for name in files_below(output / "pt")}


def assert_same(output: Path, before: Outcome) -> None:
    after = read_outcome(output)
    assert after.rows == before.rows
    assert after.vectors.tobytes() == before.vectors.tobytes()
    assert after.dead_letters == before.dead_letters


def embedded_while(call: Callable[[], object]) -> int:
    with heard(events.RecordsEmbedded) as told:
        call()
    return sum(event.records for event in told)


def merge(output: Path, most: int = 32768) -> Compaction:
    return compact_output(str(output), most, lambda seconds: None)


def check_whole(output: Path, rows: int) -> None:
    """So many rows are there, none of them twice, and all agrees."""
    seen = read_outcome(output).rows
    assert len(seen) == len({(row["source"], row["ordinal"]) for row in seen}) == rows
    assert exit_code_of(verify.main, output, "--sample", "0") == 0


def test_all_that_there_was_in_one_part(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, written = read_outcome(output), pts(output)
    parts = len(read_commits(str(output)).parts)
    assert parts >= 7
    assert exit_code_of(compact.main, output) == 0
    assert f"{parts} parts became 1, with {3 * RECORDS + 1} records" in capsys.readouterr().out
    assert len(read_commits(str(output)).parts) == 1
    assert_same(output, before)
    assert pts(output) == written
    assert exit_code_of(verify.main, output, "--seed", "1") == 0
    said = capsys.readouterr().out
    assert "everything agrees" in said
    assert "Not checked" not in said
    # The same command embeds nothing anew, and neither does one that misses a .pt.
    (output / "pt/a_ESM.pt").unlink()
    inputs = output.parent / "in"
    assert embedded_while(lambda: embed(inputs, output)) == 0
    assert pts(output) == written
    assert exit_code_of(compact.main, output) == 0
    assert "nothing to merge in 1 part" in capsys.readouterr().out
    assert exit_code_of(verify.main, output, "--sample", "0") == 0


def test_a_changed_file_leaves_the_merged_part(output: Path) -> None:
    merge(output, 1000)
    path = output.parent / "in/a.faa"
    path.write_text(path.read_text() + ">new\nMKTAYI\n")
    assert embedded_while(lambda: embed(path, output)) == RECORDS
    check_whole(output, 3 * RECORDS - 2)


def test_no_part_gets_larger_than_is_asked_for(output: Path) -> None:
    before = read_outcome(output)
    done = merge(output, 100)
    assert done.after > 1
    records = [
        sum(h.rows + h.dead_letters for h in part.sources.values())
        for part in read_commits(str(output)).parts.values()
    ]
    assert max(records) <= 100
    assert_same(output, before)
    assert merge(output, 100).before == 0


def test_no_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of(compact.main, tmp_path / "none") == 2
    assert "is not an output" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    assert exit_code_of(compact.main, tmp_path, "--rows", "1") == 2


def test_a_second_compaction_is_refused_and_told_of(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "A compaction" not in " ".join(in_words(look(str(output))))
    with hold(str(output), "first", COMPACT):
        assert exit_code_of(compact.main, output) == 2
        assert "Another compaction is at work" in capsys.readouterr().err
        assert "A compaction is at work" in " ".join(in_words(look(str(output))))
        assert exit_code_of(verify.main, output) == 2
    assert exit_code_of(compact.main, output) == 0
    assert "A compaction" not in " ".join(in_words(look(str(output))))


def test_a_disk_that_is_full(
    output: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_outcome(output)

    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(local, "sync_all", fail)
        assert exit_code_of(compact.main, output) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert_same(output, before)


def test_stopped_by_a_person(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read_outcome(output)

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(compaction, "merge_parts", interrupt)
        assert exit_code_of(compact.main, output) == 128 + signal.SIGINT
    assert_same(output, before)
    assert exit_code_of(compact.main, output) == 0


def test_beside_a_run_between_all_its_parts_and_files(output: Path) -> None:
    """The run carries on an unfinished file, embeds a new one and tries a broken one again."""
    inputs = output.parent / "in"
    # As a kill leaves it: parts of a file without its record, which the run needs.
    for path in (output / "commits").glob("files-*.json"):
        if '"c.faa"' in path.read_text():
            path.unlink()
    write_input(inputs, "new.faa", 900)
    done: list[Compaction] = []

    def compact_now(_: events.Event) -> None:
        done.append(merge(output))
        seen = read_outcome(output).rows
        assert len(seen) == len({(row["source"], row["ordinal"]) for row in seen})

    often = events.RunStarted, events.PartCommitted, events.FileFinished, events.RecordFailed
    with at_each(often, compact_now):
        assert embedded_while(lambda: embed(inputs, output)) == 900 - 18
    assert sum(each.before > 0 for each in done) >= 1
    assert any(each.spared for each in done)
    check_whole(output, 3 * (RECORDS - 1) + 900 - 18)
    # All that it had to spare.
    assert merge(output).spared == 0
    assert len(read_commits(str(output)).parts) == 1
    assert exit_code_of(verify.main, output, "--sample", "0") == 0


def test_beside_a_run_the_parts_that_it_needs_are_told_of(output: Path) -> None:
    (record,) = (p for p in (output / "commits").glob("files-*.json") if '"c.faa"' in p.read_text())
    record.unlink()
    before = read_outcome(output)
    with hold(str(output), "run5"):
        done = merge(output)
    assert (done.after, done.spared) == (1, 2)
    assert "2 parts left alone" in "\n".join(done.in_words())
    assert_same(output, before)


def test_a_run_that_came_in_between_is_heeded(output: Path) -> None:
    """Between two merges a run takes a file back whose parts were to be merged."""
    inputs = output.parent / "in"
    path = inputs / "b.faa"
    path.write_text(path.read_text() + ">new\nMKTAYI\n")
    runs: list[int] = []

    def run_now(seconds: float) -> None:
        if not runs:
            runs.append(embed(path, output))

    done = compact_output(str(output), 100, run_now)
    assert runs == [3]
    assert done.changed >= 2
    assert "a run came in between" in "\n".join(done.in_words())
    check_whole(output, 3 * RECORDS - 2)


def test_beside_a_watch(tmp_path: Path) -> None:
    """At the end of each file the next one comes, and parts are merged; one file changes later."""
    inputs, output = tmp_path / "in", tmp_path / "out"
    write_input(inputs, "f0.faa", 5)
    done: list[Compaction] = []

    def go_on(_: events.FileFinished) -> None:
        done.append(merge(output))
        if len(done) == 5:
            (inputs / "f0.faa").write_text(">changed\nMKTAYI\n")
        if len(done) < 7:
            write_input(inputs, f"f{len(done)}.faa", 5)

    watch = ("--watch", "--poll_seconds", 0.1, "--stop_after", 2)
    with at_each(events.FileFinished, go_on):
        assert embed(inputs, output, *watch) == 0
    assert len(done) == 8
    assert sum(each.before for each in done) >= 6
    check_whole(output, 6 * 5 + 1)
    # Rows that were merged meanwhile are still those of the watch.
    assert report(output)["totals"]["embedded_this_run"] == 6 * 5 + 1


def test_a_part_that_is_damaged_or_gone(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = min((output / "embeddings").iterdir())
    data = path.read_bytes()
    path.write_bytes(data[:100] + b"x" + data[101:])
    assert exit_code_of(compact.main, output) == 2
    assert f"{path} is damaged" in capsys.readouterr().err
    path.unlink()
    assert exit_code_of(compact.main, output) == 1
    assert str(path) in capsys.readouterr().err
    path.write_bytes(data)
    assert exit_code_of(compact.main, output) == 0
    assert exit_code_of(verify.main, output, "--sample", "0") == 0


@pytest.mark.parametrize("module", [checks, resuming, ending])
def test_a_run_waits_for_the_merge_that_is_under_way(
    module: ModuleType, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it begins, when it tidies up at its end, and before it takes staged files away."""
    write_input(output.parent / "in", "new.faa")
    waited: list[list[str]] = []

    def hold_late(root: str, name: str) -> AbstractContextManager[None]:
        merging = ExitStack()
        merging.enter_context(hold(root, "m1", PARTS))
        storage.publish_all(root, {"embeddings/part-merged-m1-0-x.parquet": lambda handle: None})
        (output / storage.STAGING / "0123").touch()

        def wait(seconds: float) -> None:
            """The merge goes on meanwhile, finds its files where it left them, and ends."""
            waited.append(files_below(output / storage.STAGING))
            waited.append([path.name for path in (output / "embeddings").glob("part-merged-*")])
            merging.close()

        return hold_parts(root, name, wait)

    monkeypatch.setattr(module, "hold_parts", hold_late)
    assert embed(output.parent / "in", output) == 3
    assert waited == [["0123"], ["part-merged-m1-0-x.parquet"]]
    assert not (output / storage.STAGING).exists()
