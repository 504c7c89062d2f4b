"""Tests of which files a stream sends on, with the rest of the job played by hand."""

from __future__ import annotations

import logging
import os
from functools import partial
from pathlib import Path

import pytest

from tests.helpers import commit, make_block, make_dead_letter, make_output, make_protein, sha256
from transforms.inputs import looking
from transforms.inputs.finding import find_fasta
from transforms.inputs.looking import Looker, Memory
from transforms.output.commits import FileRecord, Output, read_commits, write_file_records

GOOD = ">a\nMKTAYIAKQR\n"


class Job:
    """A source and what comes after it; every call is a look."""

    def __init__(self, tmp_path: Path, run: str = "run1") -> None:
        self.inputs, self.output = tmp_path / "in", make_output(tmp_path, run=run)
        self.inputs.mkdir(parents=True, exist_ok=True)
        self.memory = Memory()
        self.now = 1000.0
        self.position = 0
        self.sequence = 0
        self.start()

    def start(self) -> None:
        """As on another worker, where only the memory is left."""
        find = partial(find_fasta, [f"{self.inputs}/*.fa*"], str(self.inputs), are_coming=True)
        self.looker = Looker(find, self.output, 5.0, clock=lambda: self.now)

    def write(self, name: str, text: str = GOOD, mtime: float | None = None) -> None:
        (self.inputs / name).write_text(text)
        if mtime is not None:
            os.utime(self.inputs / name, (mtime, mtime))

    def arrive(self, name: str, text: str = GOOD, mtime: float | None = None) -> list[str]:
        """A file is written, and looked at until it is complete; returns what is sent on then."""
        self.write(name, text, mtime)
        self.look()
        return self.look()

    def tick(self) -> list[str]:
        """The step is called again, without a look at the folder."""
        self.position += 1
        # What comes after must find the memory as a worker does that reads it from the state.
        self.memory = Memory.unpack(self.memory.pack())
        return [file.source for file in self.looker.look(self.memory, self.position)]

    def look(self) -> list[str]:
        self.now += 5
        return self.tick()

    def finish(self, *sources: str) -> None:
        """The job embeds and finishes files, whose records share a part."""
        texts = {source: (self.inputs / source).read_text() for source in sources}
        proteins = [make_protein(source=s, file_sha256=sha256(t)) for s, t in texts.items()]
        part = commit(self.output, make_block(*proteins), sequence=self.sequence)
        self.record(part, *sources)

    def record(self, part: str, *sources: str) -> None:
        records = []
        for source in sources:
            path = self.inputs / source
            stat, digest = path.stat(), sha256(path.read_bytes())
            records.append(
                FileRecord(
                    source, str(path), stat.st_size, stat.st_mtime, digest, 1, 10, 1, 0, (part,),
                    None, None, time=f"2026-01-01T00:00:{self.sequence:02}Z",
                )
            )  # fmt: skip
        write_file_records(self.output.root, f"x{self.sequence}", records)
        self.sequence += 1

    def fail(self, source: str) -> None:
        commit(self.output, make_dead_letter(None, source), sequence=self.sequence)
        self.sequence += 1


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def test_each_version_is_sent_on_once(job: Job) -> None:
    job.write("a.fa")
    assert [job.look() for _ in range(4)] == [[], ["a.fa"], [], []]
    job.finish("a.fa")
    assert job.look() == []
    assert job.memory.flying == job.memory.settled == {}
    job.write("a.fa", ">a\nMKT\n")
    assert [job.look() for _ in range(3)] == [[], ["a.fa"], []]


def test_files_moved_in_with_old_times_are_sent_on(job: Job) -> None:
    job.arrive("new.fa")
    job.finish("new.fa")
    assert job.arrive("old.fa", mtime=1.0) == ["old.fa"]


def test_another_worker_goes_on_with_the_memory(job: Job) -> None:
    for name in ("done.fa", "flying.fa"):
        job.write(name)
        job.look()
    job.look()
    job.arrive("bad.fa")
    job.finish("done.fa")
    job.fail("bad.fa")
    job.look()
    job.start()
    job.write("next.fa")
    assert [job.look() for _ in range(3)] == [[], ["next.fa"], []]
    assert sorted(job.memory.flying) == ["flying.fa", "next.fa"]
    assert sorted(job.memory.settled) == ["bad.fa"]


def test_the_folder_is_looked_at_no_more_often_than_it_is_to_be(job: Job) -> None:
    job.write("a.fa")
    job.look()
    assert [job.tick() for _ in range(3)] == [[], [], []]
    assert job.look() == ["a.fa"]
    job.now -= 3600  # the clock is set back
    job.write("b.fa")
    job.tick()
    assert job.look() == ["b.fa"]


def test_what_failed_is_tried_again_when_it_changes_or_at_the_next_start(
    job: Job, tmp_path: Path
) -> None:
    job.arrive("a.fa", "nothing")
    job.fail("a.fa")
    assert [job.look() for _ in range(2)] == [[], []]
    assert job.arrive("a.fa", "still nothing") == ["a.fa"]
    # Else its next outcome could not be told from this one.
    assert read_commits(job.output.root).failed_sources() == set()
    job.fail("a.fa")
    assert job.look() == []
    again = Job(tmp_path, "run2")
    assert [again.look() for _ in range(2)] == [[], ["a.fa"]]


def test_the_memory_lets_go_of_what_is_moved_away(job: Job) -> None:
    job.arrive("a.fa", "nothing")
    job.fail("a.fa")
    job.look()
    assert list(job.memory.settled) == ["a.fa"]
    (job.inputs / "a.fa").unlink()
    job.look()
    assert job.memory.settled == {}


def test_a_changed_file_loses_its_old_records_before_it_is_sent_on(job: Job) -> None:
    for name in ("a.fa", "b.fa"):
        assert job.arrive(name) == [name]
    job.finish("a.fa", "b.fa")
    old = set(os.listdir(Path(job.output.root) / "embeddings"))
    assert job.arrive("a.fa", ">a\nMKT\n") == ["a.fa"]
    committed = read_commits(job.output.root)
    assert set(committed.files) == {"b.fa"}
    (part,) = committed.parts.values()
    assert set(part.sources) == {"b.fa"}
    # Readers take every file that is there, for weeks.
    left = os.listdir(Path(job.output.root) / "embeddings")
    assert left == [part.embeddings]
    assert old.isdisjoint(left)


def test_it_waits_while_a_file_under_way_needs_the_part(job: Job) -> None:
    for name in ("a.fa", "b.fa"):
        job.arrive(name)
    proteins = [make_protein(source=name, file_sha256=sha256(GOOD)) for name in ("a.fa", "b.fa")]
    part = commit(job.output, make_block(*proteins), sequence=8)
    job.record(part, "a.fa")  # of b.fa, more is to come
    job.write("a.fa", ">a\nMKT\n")
    job.write("c.fa")
    assert [job.look() for _ in range(3)] == [[], ["c.fa"], []]
    assert part in read_commits(job.output.root).parts
    job.record(part, "b.fa")
    assert job.look() == ["a.fa"]


def test_what_else_is_being_published_is_not_swept(job: Job) -> None:
    job.arrive("a.fa")
    job.finish("a.fa")
    staged = Path(job.output.root) / ".staging/x"
    staged.parent.mkdir(exist_ok=True)
    uncommitted = Path(job.output.root) / "embeddings/part-run1-0-9-x.parquet"
    for path in (staged, uncommitted):
        path.write_text("")
    assert job.arrive("a.fa", ">a\nMKT\n") == ["a.fa"]
    assert staged.exists()
    assert uncommitted.exists()


def test_a_touched_file_is_not_sent_on(job: Job) -> None:
    job.arrive("a.fa", mtime=5.0)
    job.finish("a.fa")
    job.write("a.fa", mtime=6.0)
    assert [job.look() for _ in range(3)] == [[], [], []]
    assert list(read_commits(job.output.root).files) == ["a.fa"]


def test_a_name_that_is_taken_is_a_dead_letter_of_the_file(job: Job) -> None:
    job.arrive("a.fa")
    job.write("a.faa")
    job.write("a.fasta")
    assert [job.look() for _ in range(3)] == [[], [], []]
    assert read_commits(job.output.root).failed_sources() == {"a.faa", "a.fasta"}
    job.finish("a.fa")
    assert job.look() == []
    # It is so once, however often it changes.
    for mtime in (7.0, 8.0):
        job.write("a.faa", mtime=mtime)
        assert [job.look() for _ in range(3)] == [[], [], []]
    parts = read_commits(job.output.root).parts.values()
    assert sum("a.faa" in part.sources for part in parts) == 1


def test_no_more_is_under_way_than_an_engine_can_hold(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "FLYING_BYTES", 3 * len(GOOD))
    monkeypatch.setattr(looking, "TICK_BYTES", 2 * len(GOOD))
    for n in range(4):
        job.write(f"{n}.fa")
    job.look()
    job.write("large.fa", 9 * GOOD)
    assert [job.look() for _ in range(3)] == [["0.fa", "1.fa"], ["2.fa"], []]
    job.finish("0.fa", "1.fa")
    job.write("late.fa")
    assert job.tick() == ["3.fa"]
    job.look()
    assert job.look() == []  # the large one goes alone, and is not overtaken
    job.finish("2.fa", "3.fa")
    assert job.tick() == ["large.fa"]
    assert job.tick() == []
    job.finish("large.fa")
    assert job.tick() == ["late.fa"]


def test_a_look_that_fails_changes_nothing_and_is_told_once(
    job: Job, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "transforms")
    job.write("a.fa")
    job.look()

    def fail() -> None:
        raise OSError("the network is away")

    with monkeypatch.context() as patched:
        patched.setattr(job.looker, "_find", fail)
        assert [job.look() for _ in range(2)] == [[], []]
        assert job.memory.quiet_since is None
    assert [record.message for record in caplog.records] == [
        "the network is away It is looked for again in 5 s."
    ]
    assert job.look() == ["a.fa"]


def test_it_is_quiet_when_nothing_grows_waits_or_is_under_way(job: Job) -> None:
    job.look()
    assert job.memory.quiet_since == 1005.0
    job.write("a.fa")
    seen = []
    for _ in range(3):
        job.look()
        seen.append(job.memory.quiet_since)
    job.finish("a.fa")
    job.look()
    job.look()
    assert seen == [None, None, None]
    assert job.memory.quiet_since == 1025.0


def test_what_an_earlier_run_has_finished_is_quiet_from_the_start(job: Job, tmp_path: Path) -> None:
    job.arrive("a.fa")
    job.finish("a.fa")
    again = Job(tmp_path, "run2")
    assert again.look() == []
    assert again.memory.quiet_since == 1005.0


def test_a_file_that_vanishes_while_it_is_under_way_keeps_its_place(job: Job) -> None:
    job.arrive("a.fa")
    (job.inputs / "a.fa").unlink()
    job.look()
    assert list(job.memory.flying) == ["a.fa"]
    job.fail("a.fa")  # it could not be read
    job.look()
    assert job.memory.flying == {}


def test_an_output_without_pt_takes_long_names(tmp_path: Path) -> None:
    name = "x" * 245 + ".fa"
    for pt, sent in ((True, []), (False, [name])):
        job = Job(tmp_path / str(pt))
        job.output = Output(**{f: getattr(job.output, f) for f in Output.__slots__} | {"pt": pt})
        job.start()
        assert job.arrive(name) == sent
