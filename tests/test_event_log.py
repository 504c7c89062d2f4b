from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from pipeline.listening.event_log import EventLog, logging_events
from pipeline.run import main
from tests.command import exit_code_of
from tests.outputs import lines as read
from transforms import events
from transforms.errors import ConfigurationError


def run(*args: object) -> int:
    return exit_code_of(main, *args, "--model", "demo", "--device", "cpu", "--quiet")


def test_an_event_is_a_line_with_its_fields_and_its_time() -> None:
    stream = io.StringIO()
    EventLog(stream)(events.PartCommitted("part-1", 3, 1))
    line = json.loads(stream.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {"event": "PartCommitted", "part": "part-1", "rows": 3, "dead_letters": 1}


def test_a_log_that_cannot_be_written_any_more_costs_no_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError("No space left on device")

    log = EventLog(Full())
    for _ in range(3):
        log(events.OutOfMemory(4))
    assert [record.getMessage() for record in caplog.records] == [
        "The event log ends here: No space left on device"
    ]


def test_without_a_file_nobody_listens() -> None:
    with logging_events(None, "out"):
        events.emit(events.OutOfMemory(4))


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigurationError, match="--event_log .*Is a directory"),
        logging_events(str(tmp_path), "out"),
    ):
        pass


def test_it_is_not_written_among_the_parts(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigurationError, match="--event_log .*lies in the output itself"),
        logging_events(str(tmp_path / "embeddings/events.jsonl"), str(tmp_path)),
    ):
        pass


def test_the_log_of_a_run_tells_all_that_became_of_it(tmp_path: Path) -> None:
    inputs, log = tmp_path / "in", tmp_path / "events.jsonl"
    inputs.mkdir()
    (inputs / "good.faa").write_text(">a\nMKTAYIAK\n>b\nMK1\n")
    (inputs / "broken.faa").write_text("no FASTA at all\n")
    args = ("--input", inputs, "--output", tmp_path / "out", "--event_log", log)
    assert run(*args) == 3
    seen = read(log)
    by_kind = {line["event"]: line for line in seen}
    kinds = [line["event"] for line in seen]
    assert kinds.index("RunStarted") < kinds.index("FileOpened") < kinds.index("PartCommitted")
    assert kinds[-1] == "RunEnded"
    assert (by_kind["RunStarted"]["files"], by_kind["RunEnded"]["exit_code"]) == (2, 3)
    assert (by_kind["RunEnded"]["embedded"], by_kind["RunEnded"]["dead_letters"]) == (1, 2)
    failed = [(e["source"], e["ordinal"]) for e in seen if e["event"] == "RecordFailed"]
    assert sorted(failed, key=str) == [("broken.faa", None), ("good.faa", 1)]
    assert by_kind["FileFinished"]["source"] == "good.faa"
    # A second run adds to it.
    assert run(*args) == 3
    assert [line["event"] for line in read(log)].count("RunEnded") == 2


def test_a_run_that_is_refused_ends_without_having_started(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    args = ("--input", tmp_path / "none.faa", "--output", tmp_path / "out", "--event_log", log)
    assert run(*args) == 2
    assert "RunStarted" not in [line["event"] for line in read(log)]
