from __future__ import annotations

import io
import threading
from pathlib import Path

from pipeline.listening.following import Following
from pipeline.telling import _tell_progress
from tests.helpers import commit, make_block, make_dead_letter, make_output, make_protein
from transforms.output.commits import (
    FileRecord,
    delete_part_record,
    read_commits,
    write_file_records,
)
from transforms.output.removal import ALL_FAILURES, remove_records


def finished(source: str) -> FileRecord:
    return FileRecord(source, source, 9, 1.5, "", 2, 12, 1, 1, (), None, None)


def test_what_other_processes_commit_is_counted_once(tmp_path: Path) -> None:
    earlier, output = make_output(tmp_path, run="run0"), make_output(tmp_path)
    commit(earlier, make_block(make_protein(7)))
    times = iter([0.0, 1.0, 2.5])
    following = Following(output, 3, lambda: next(times))
    first = commit(output, make_block(make_protein(0)), make_dead_letter(1))
    assert following.numbers() == {
        "seconds": 1.0, "files": 3, "files_done": 0, "records": 2, "dead_letters": 1,
    }  # fmt: skip
    delete_part_record(output.root, first)
    commit(output, make_dead_letter(None, "broken.fa"), sequence=1)
    write_file_records(output.root, "run1-x", [finished("a.fa"), finished("b.fa")])
    numbers = following.numbers()
    assert numbers == {
        "seconds": 2.5, "files": 3, "files_done": 3, "records": 2, "dead_letters": 2,
    }  # fmt: skip
    # `status` tells them as it finds them in the heartbeat: there are no residues.
    assert _tell_progress(numbers, True).startswith("2 records, 3 of 3 files, in ")


def test_what_is_left_of_an_earlier_part_is_not_counted(tmp_path: Path) -> None:
    earlier, output = make_output(tmp_path, run="run0"), make_output(tmp_path)
    commit(earlier, make_block(make_protein(0)), make_dead_letter(1))
    remove_records(output.root, output.run, {"a.fa": ALL_FAILURES})
    assert any(f"part-{output.run}-rest-" in name for name in read_commits(output.root).parts)
    assert Following(output, 3).numbers()["records"] == 0


def test_a_line_is_written_now_and_then(tmp_path: Path) -> None:
    written = threading.Event()

    class Lines(io.StringIO):
        def flush(self) -> None:
            written.set()

    output = make_output(tmp_path)
    commit(output, make_block(make_protein(0)))
    lines = Lines()
    with Following(output, 3).showing(quiet=False, stream=lines, every=0.01):
        assert written.wait(10)
    assert lines.getvalue().startswith("Committed: 1 records; 0 of 3 files are done.\n")
    with Following(output, 3).showing(quiet=True, stream=lines, every=0.0):
        pass
