"""Tests of what ``python -m pipeline.status`` tells."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from pipeline import settled, status
from pipeline.overview import Overview, look
from pipeline.telling import FILES_TOLD, as_json, in_words, seconds_left, speed
from tests.command import exit_code_of, run_without_model_libraries
from tests.helpers import (
    commit,
    files_below,
    make_block,
    make_dead_letter,
    make_file_record,
    make_output,
    no_sleep,
)
from tests.helpers import make_protein as protein
from tests.processes import REPO, lock_holder
from tests.waiting import wait_for
from transforms.output import commits
from transforms.output.commits import (
    Commits,
    FileRecord,
    Output,
    read_part_record,
    write_file_records,
    write_part_record,
)
from transforms.output.configuration import write_configuration
from transforms.output.division import ShardState
from transforms.output.holders import FINISH, read_holder, write_holder
from transforms.output.locks import hold

exit_code = partial(exit_code_of, status.main)

PROGRESS: Mapping[str, float] = {
    "seconds": 20.0, "files": 4, "files_done": 1, "bytes": 400, "records": 30, "dead_letters": 2,
    "residues": 5000, "residues_skipped": 1000, "residues_total": 17000,
}  # fmt: skip


def file_record(source: str, rows: int, dead_letters: int = 0) -> FileRecord:
    return make_file_record(source, rows, dead_letters, pt=f"pt/{source}_ESM.pt")


@pytest.fixture
def output(tmp_path: Path) -> Output:
    """Files finished, with failures, without their .pt, failed and unfinished; no lock."""
    made = make_output(tmp_path)
    write_configuration(made.root, {"model": "demo", "dim": 4})
    commit(
        made,
        make_block(*(protein(n, "a.fa") for n in range(3)), *(protein(n, "b.fa") for n in (0, 2))),
        make_dead_letter(1, "b.fa", message="first"),
        make_dead_letter(3, "b.fa", error_type="oom", stage="inference"),
        make_dead_letter(None, "a.fa"),  # it was read in the end
        make_dead_letter(None, "broken.fa", message="old"),
        sequence=1,  # in order of name the later part comes first
    )
    commit(
        made,
        make_block(protein(0, "c.fa"), protein(0, "d.fa")),
        make_dead_letter(1, "d.fa", message="second"),
        make_dead_letter(None, "broken.fa", error_type="corrupt", message="new"),
    )
    write_file_records(
        made.root,
        "x",
        [file_record("a.fa", 3), file_record("b.fa", 2, 2), file_record("c.fa", 1)],
    )
    for name in ("a.fa", "b.fa"):
        pt = Path(made.root, f"pt/{name}_ESM.pt")
        pt.parent.mkdir(exist_ok=True)
        pt.touch()
    return made


def test_what_is_committed_is_told_per_file(output: Output) -> None:
    seen = look(output.root, no_sleep)
    fields = ("status", "records", "rows", "dead_letters", "pt_there")
    told = {f["source"]: tuple(f[name] for name in fields) for f in as_json(seen)["files"]}
    assert told == {
        "a.fa": ("finished", 3, 3, 0, True),
        "b.fa": ("finished", 4, 2, 2, True),
        "broken.fa": ("failed", None, 0, 0, False),
        "c.fa": ("finished", 1, 1, 0, False),
        "d.fa": ("unfinished", None, 1, 1, False),
    }
    assert seen.parts == 2
    assert seen.gone == ()


def test_dead_letters_are_told_by_reason_with_the_first_of_each(output: Output) -> None:
    told = as_json(look(output.root, no_sleep))["dead_letters"]
    assert [tuple(each.values()) for each in told] == [
        (2, "residues", "invalid_residue", "b.fa", 1, "b.fa-1", "first"),
        (1, "inference", "oom", "b.fa", 3, "b.fa-3", "it does not work"),
        (1, "read", "corrupt", "broken.fa", None, "", "new"),
    ]


def test_dead_letters_longer_than_a_chunk_are_read_whole(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = look(output.root, no_sleep)
    monkeypatch.setattr("transforms.storage.open_chunks.__defaults__", (7,))
    assert look(output.root, no_sleep) == before


def test_a_person_is_told_what_needs_a_look_first(output: Output) -> None:
    lines = in_words(look(output.root, no_sleep))
    assert lines == [
        f"No run is at work in {output.root}.",
        f"{output.root} holds 7 vectors from 5 files: 3 finished, 1 failed, 1 unfinished.",
        "The same command as before carries on from there.",
        "The .pt of 1 file is gone; the next run writes it again.",
        "3 records and 1 file failed: see dead_letters/.",
        "  2 invalid_residue (residues), the first: b.fa, b.fa-1: first",
        "  1 oom (inference), the first: b.fa, b.fa-3: it does not work",
        "  1 corrupt (read), the first: broken.fa: new",
        "Files:",
        "  failed      broken.fa: no vectors",
        "  unfinished  d.fa: 1 vector, 1 failed",
        "  finished    c.fa: 1 vector, pt/c.fa_ESM.pt is gone",
        "  finished    b.fa: 2 vectors, 2 failed, pt/b.fa_ESM.pt",
        "  finished    a.fa: 3 vectors, pt/a.fa_ESM.pt",
    ]


def test_a_long_list_of_files_is_cut_for_a_person_only(tmp_path: Path) -> None:
    output = make_output(tmp_path)
    write_configuration(output.root, {})
    sources = [f"{n:03}.fa" for n in range(50)]
    write_file_records(output.root, "x", [make_file_record(s) for s in sources])
    seen = look(output.root, no_sleep)
    cut, whole = in_words(seen), in_words(seen, all_files=True)
    assert cut[-1] == "  and 30 more; --all tells of every one, --json too."
    assert cut[:-1] == whole[: 3 + FILES_TOLD]
    assert len(whole) == 3 + 50
    assert [file["source"] for file in as_json(seen)["files"]] == sources


def test_what_comes_from_files_cannot_command_a_terminal(tmp_path: Path) -> None:
    output = make_output(tmp_path)
    write_configuration(output.root, {})
    nasty = "\x1b[2J\n\u202e"
    commit(
        output,
        make_dead_letter(0, f"{nasty}.fa", id=nasty + "x" * 10_000, message=nasty, stage=nasty),
    )
    lines = in_words(look(output.root, no_sleep))
    assert all(line.isprintable() for line in lines)
    assert max(map(len, lines)) < 1000
    assert any("\\x1b[2J\\n\\u202e.fa" in line for line in lines)


def test_a_run_at_work_is_told_with_its_rate_and_eta(output: Output) -> None:
    with hold(output.root, "first") as lock, lock.watched(lambda: PROGRESS, print):
        pass
    held = read_holder(output.root, "all")
    write_holder(output.root, replace(held, released=False, interval=60.0))
    seen = look(output.root, no_sleep)
    (run,) = as_json(seen)["runs"]
    # 4,000 residues were embedded in 20 s; 1,000 had been committed before.
    assert (run["state"], run["residues_per_second"], run["eta_seconds"]) == ("alive", 200, 60)
    assert (run["run"], run["pid"], run["host"]) == ("first", os.getpid(), os.uname().nodename)
    first, second, *_ = in_words(seen)
    assert first.startswith(
        f"A run is at work in {output.root}: run first, process {os.getpid()} on "
    )
    assert second == (
        "  29%: 5,000 of about 17,000 residues, 30 records, 1 of 4 files, in 20 s; "
        "200 residues a second, about 60 s left."
    )
    assert "carries on" not in "".join(in_words(seen))
    # A watch for which nothing has come yet, and one that waits for more.
    nothing = dict.fromkeys(PROGRESS, 0.0) | {"seconds": 9.0}
    waiting = PROGRESS | {"residues": PROGRESS["residues_total"]}
    for progress, told in (
        (nothing, "  It has nothing to do."),
        (
            waiting,
            "  100%: 17,000 residues, 30 records, 1 of 4 files, in 20 s; 800 residues a second.",
        ),
    ):
        write_holder(output.root, replace(held, released=False, interval=60.0, progress=progress))
        assert in_words(look(output.root, no_sleep))[1] == told


def test_a_run_that_was_killed_is_told_as_dead_at_once(output: Output) -> None:
    with lock_holder(output.root, PROGRESS) as process:
        wait_for(lambda: read_holder(output.root, "all").progress)
        assert look(output.root, no_sleep).states == ("alive",)
    seen = look(output.root, no_sleep)
    assert seen.states == ("dead",)
    assert as_json(seen)["state"] == "dead"
    assert as_json(seen)["runs"][0]["eta_seconds"] is None
    lines = in_words(seen)
    assert lines[0].startswith(
        f"A run in {output.root} has died: run first, process {process.pid} on "
    )
    assert lines[1].endswith("200 residues a second.")
    assert "The same command as before carries on from there." in lines


def test_a_run_without_a_heartbeat_whose_process_is_there_is_told_as_silent(
    output: Output,
) -> None:
    with hold(output.root, "first"):
        held = read_holder(output.root, "all")
        write_holder(output.root, replace(held, heartbeat="2026-01-31T12:00:00.000Z"))
        seen = look(output.root, no_sleep)
    assert seen.states == ("silent",)
    assert in_words(seen)[0].startswith(f"A run in {output.root} is suspended, or dead")


def test_a_run_that_ended_is_told_so(output: Output) -> None:
    with hold(output.root, "first"):
        pass
    seen = look(output.root, no_sleep)
    assert as_json(seen)["state"] == "ended"
    assert in_words(seen)[0].startswith(f"No run is at work in {output.root}. The last one ended ")


def test_a_run_that_found_nothing_to_do_is_told_so(output: Output) -> None:
    with hold(output.root, "first"):
        pass
    held = read_holder(output.root, "all")
    numbers = dict.fromkeys(("residues", "residues_total", "records", "files", "files_done"), 0)
    write_holder(output.root, replace(held, progress={**numbers, "seconds": 0.1}))
    assert in_words(look(output.root, no_sleep))[1] == "  It found nothing to do."
    write_holder(output.root, replace(held, progress={**numbers, "records": 3, "seconds": 0.1}))
    assert "3 records" in in_words(look(output.root, no_sleep))[1]


def test_a_run_that_still_loads_its_model_is_told_of(tmp_path: Path) -> None:
    with hold(str(tmp_path), "first"):
        seen = look(str(tmp_path), no_sleep)
    assert seen.states == ("alive",)
    assert in_words(seen)[1:] == [f"{tmp_path} holds nothing yet."]


def test_to_look_takes_no_lock_and_changes_nothing(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hold(output.root, "first"):
        pass
    before = {name: os.stat(Path(output.root, name)) for name in files_below(output.root)}
    for name in ("flock", "lockf", "fcntl"):
        monkeypatch.setattr(fcntl, name, lambda *_: pytest.fail("a lock was touched"))
    look(output.root, no_sleep)
    after = {name: os.stat(Path(output.root, name)) for name in files_below(output.root)}
    assert {n: (s.st_ino, s.st_mtime_ns) for n, s in after.items()} == {
        n: (s.st_ino, s.st_mtime_ns) for n, s in before.items()
    }


def stale_once(monkeypatch: pytest.MonkeyPatch, stale: Commits) -> None:
    """Has the next look see records that were read a moment ago."""
    answers = iter([stale])

    def read(root: str) -> Commits:
        return next(answers, None) or commits.read_commits(root)

    monkeypatch.setattr(settled, "read_commits", read)


def test_a_part_that_is_replaced_meanwhile_is_counted_once(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = look(output.root, no_sleep)
    stale_once(monkeypatch, commits.read_commits(output.root))
    old = read_part_record(output.root, "part-run1-0-0")
    assert old.dead_letters
    letters = Path(output.root, "dead_letters", old.dead_letters)
    name = f"part-run2-0-0-{old.dead_letters.rpartition('-')[2]}"
    letters.rename(letters.with_name(name))
    write_part_record(
        output.root,
        replace(old, part="part-run2-0-0", dead_letters=name, replaces=(old.part,)),
    )
    slept: list[float] = []
    seen = look(output.root, slept.append)
    assert slept == [settled.SECONDS_BETWEEN_LOOKS]
    assert as_json(seen) == as_json(before)
    # Whoever looks in the moment in which both records are there counts the new one alone.
    assert seen.parts == 2


def test_a_record_that_goes_between_listing_and_reading_is_looked_for_again(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = look(output.root, no_sleep)
    list_names = commits.storage.list_names
    late = iter(["part-run0-0-0.json"])

    def listed(folder: str) -> list[str]:
        return [*list_names(folder), *late] if folder.endswith("commits") else list_names(folder)

    monkeypatch.setattr(commits.storage, "list_names", listed)
    assert look(output.root, no_sleep) == before
    assert next(late, None) is None


def test_a_committed_file_that_is_gone_for_good_is_told(output: Output) -> None:
    part = read_part_record(output.root, "part-run1-0-1")
    Path(output.root, "dead_letters", str(part.dead_letters)).unlink()
    slept: list[float] = []
    seen = look(output.root, slept.append)
    assert len(slept) == settled.LOOKS - 1
    assert seen.gone == (f"dead_letters/{part.dead_letters}",)
    assert f"dead_letters/{part.dead_letters} was committed and is gone." in in_words(seen)
    assert sum(file.dead_letters for file in seen.files) == 3


@pytest.mark.parametrize(
    ("shards", "told"),
    [
        ([ShardState(0, True, "ended"), ShardState(1, False, "alive")], []),
        ([ShardState(0, False, "dead"), ShardState(1, False, "alive")], ["The same commands"]),
        ([ShardState(0, True, "ended"), ShardState(1, False, None)], ["The same commands"]),
        ([ShardState(0, True, "ended"), ShardState(1, True, "ended")], ["python -m pipeline.fin"]),
    ],
)
def test_what_helps_shards_is_told_where_something_does(
    shards: list[ShardState], told: list[str], output: Output
) -> None:
    lines = in_words(replace(look(output.root, no_sleep), shards=tuple(shards)))
    advice = [line for line in lines if "carry on" in line or "completes it" in line]
    assert [line[: len(start)] for line, start in zip(advice, told, strict=True)] == told


def test_who_completes_an_output_is_told_of(output: Output) -> None:
    with hold(output.root, "finish-0123", FINISH):
        told = " ".join(in_words(look(output.root, no_sleep)))
    assert f"A completion is at work in {output.root}: run finish-0123" in told


def test_rates_are_not_made_up() -> None:
    assert speed(None) is None
    assert speed({}) is None
    assert speed({**PROGRESS, "seconds": 0.0}) is None
    assert speed({**PROGRESS, "residues_skipped": 5000}) is None
    assert seconds_left(None) is None
    assert seconds_left({**PROGRESS, "residues_total": 0}) is None
    assert seconds_left({**PROGRESS, "residues_total": 4000}) == 0


def test_what_is_no_output_exits_2_with_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for name in ("", "file", "nothing"):
        assert exit_code(str(tmp_path / name)) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith(f"error: {tmp_path / name} is not an output")
        assert said.err.endswith("Give the --output of a run.\n")
        assert said.err.count("\n") == 1
    assert files_below(tmp_path) == ["file"]


@pytest.mark.parametrize("name", ["commits/output.json", "commits/part-run1-0-0.json"])
def test_damaged_records_exit_2_with_one_sentence(
    name: str, output: Output, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(output.root, name).write_text("{")
    assert exit_code(output.root) == 2
    error = capsys.readouterr().err
    assert f"{name} is damaged" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("asked", ["OUT", "--version"])
def test_a_reader_that_has_seen_enough_is_no_error(asked: str, output: Output) -> None:
    command = [sys.executable, "-m", "pipeline.status", asked.replace("OUT", output.root)]
    with subprocess.Popen(
        command, cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()  # before anything can have been written
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_closed_streams_are_no_error(closed: str, output: Output) -> None:
    status = shlex.join([sys.executable, "-m", "pipeline.status", output.root])
    done = subprocess.run(f"{status} {closed}", shell=True, cwd=REPO, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert bool(done.stdout) == closed.startswith("2")


def types_of(value: object) -> object:
    if isinstance(value, dict):
        return {name: types_of(held) for name, held in value.items()}
    if isinstance(value, list):
        return [types_of(held) for held in value]
    return type(value).__name__


def test_the_json_is_whole_and_the_libraries_of_the_model_are_not_loaded(output: Output) -> None:
    with hold(output.root, "first") as lock, lock.watched(lambda: PROGRESS, print):
        pass
    done = run_without_model_libraries("status", output.root, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    seen: Overview = look(output.root, no_sleep)
    assert told == json.loads(json.dumps(as_json(seen)))
    assert told["totals"] == {
        "files": 5, "finished": 3, "failed": 1, "unfinished": 1, "parts": 2, "rows": 7,
        "dead_letters": 3, "pt": 2,
    }  # fmt: skip
    for name in ("files", "dead_letters"):
        told[name] = told[name][:1]
    assert types_of(told) == {
        "output": "str",
        "state": "str",
        "runs": [
            {
                "lock": "str", "run": "str", "host": "str", "machine": "str", "pid": "int",
                "started": "str", "heartbeat": "str", "interval": "float", "released": "bool",
                "progress": {name: type(number).__name__ for name, number in PROGRESS.items()},
                "state": "str", "residues_per_second": "float", "eta_seconds": "NoneType",
            }
        ],
        "shards": [],
        "totals": dict.fromkeys(told["totals"], "int"),
        "dead_letters": [
            {
                "stage": "str", "error_type": "str", "count": "int", "source": "str",
                "ordinal": "int", "id": "str", "message": "str",
            }
        ],
        "gone": [],
        "seem_nucleotides": [],
        "configuration": {"model": "str", "dim": "int"},
        "files": [
            {
                "source": "str", "status": "str", "records": "int", "rows": "int",
                "dead_letters": "int", "pt": "str", "pt_there": "bool",
            }
        ],
    }  # fmt: skip


@pytest.mark.parametrize(("seconds", "speed_told"), [(2.0, ""), (20.0, "; 450 residues a second")])
def test_the_end_of_a_run_is_told_without_about_and_a_short_one_without_speed(
    seconds: float, speed_told: str, output: Output
) -> None:
    progress = {**PROGRESS, "residues": 10_000, "residues_total": 10_000, "seconds": seconds}
    with hold(output.root, "first") as lock, lock.watched(lambda: progress, print):
        pass
    second = in_words(look(output.root, no_sleep))[1]
    assert second.startswith("  100%: 10,000 residues, ")
    assert second.endswith(f", in {seconds:.0f} s{speed_told}.")
