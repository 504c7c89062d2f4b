"""Tests of ``python -m pipeline.report``: the page of outputs of every kind."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import compaction, report, run
from pipeline.reporting import findings, reporting
from pipeline.reporting.groups import MOST_NAMED
from tests.command import exit_code_of, said_by
from tests.fake_subscription import FakeSubscription, make_message
from tests.helpers import commit, files_below, make_block, make_dead_letter, make_output
from tests.helpers import make_protein as protein
from tests.report_helpers import CONFIGURATION, HOSTILE, hostile_output
from transforms.output.commits import Output
from transforms.output.configuration import write_configuration
from transforms.output.locks import hold

pytest.importorskip("matplotlib")

ALWAYS_THERE = {"lengths", "neighbours", "norms", "dimensions", "map"}


class Page(HTMLParser):
    """A page, as a browser reads it.

    Attributes:
        text: All that is to be read.
        tags: Each element with its attributes.
        data: What the map's script is given.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.data: dict[str, Any] = {}
        self._inside = ""
        self.html = path.read_text()
        self.feed(self.html)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = dict(attrs).get("type") or "" if tag == "script" else ""
        if tag == "script" and not self._inside:
            self._inside = "script"

    def handle_endtag(self, tag: str) -> None:
        self._inside = "" if tag == "script" else self._inside

    def handle_data(self, data: str) -> None:
        if self._inside == "application/json":
            self.data = json.loads(data)
        elif self._inside != "script":
            self.text += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)

    @property
    def pictures(self) -> set[str]:
        """The titles of the pictures that there are."""
        return {str(held["alt"]).split(". ")[0] for name, held in self.tags if name == "img"}


@pytest.fixture(autouse=True)
def _short_runs_have_a_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.reporting.run_charts._SHORT_SECONDS", 0)


@pytest.fixture(autouse=True)
def _no_umap(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it were not installed: it takes seconds each time."""
    monkeypatch.setitem(sys.modules, "umap", None)


@pytest.fixture
def output(tmp_path: Path) -> Output:
    """One that is bound to its configuration, with nothing in it."""
    output = make_output(tmp_path)
    write_configuration(output.root, CONFIGURATION)
    return output


Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Writes a report in this process; returns the exit code and what was said."""

    def call(output: str | Path, *args: str | Path) -> tuple[int, str]:
        code, *said = said_by(report.main, capsys, output, *args)
        return code, "".join(said)

    return call


def embed(output: Path, *options: str | Path) -> int:
    return exit_code_of(run.main, "--output", output, "--model", "demo", "--quiet", *options)


def report_of(call: Call, output: str | Path, *args: str | Path) -> Page:
    code, said = call(output, *args)
    assert code == 0, said
    folder = Path(f"{output}_report")
    pictures = {path.stem for path in (folder / "report_pictures").iterdir()}
    page = Page(folder / "report.html")
    assert page.html.count('<img src="data:image/png') == len(pictures)
    return page


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output of two files with duplicates, failures, and a file that cannot be read."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "in").mkdir()
    records = "".join(f">p{n} protein {n}\n{'MKTAYIAKQR' * (n % 7 + 1)}W\n" for n in range(30))
    (folder / "in/a.faa").write_text(records + ">bad\nMK1\n>worse\nM?\n")
    (folder / "in/b.faa").write_text(">q1 one more\nMKTAYIAKQRW\n")
    (folder / "in/c.faa.gz").write_bytes(b"\x1f\x8b\x08garbage")
    assert embed(folder / "out", "--input", folder / "in") == 3
    return folder / "out"


def test_a_page_tells_what_an_output_holds(out: Path, call: Call) -> None:
    before = files_below(out)
    page = report_of(call, out)
    assert files_below(out) == before
    for text in (
        "Every record is accounted for: 33 read = 31 embedded + 2 dead-lettered, in 2 files.",
        "1 file could not be read to the end.",
        "invalid_residue",
        "'1' at position 3 is not an amino acid letter",
        "the whole file",
        "7 sequences that several proteins have, 31 rows: all at distance 0.",
        "random weights",
        "dead letters, 1 whole file among them",
        "31 proteins, coloured by file (2 in all)",
        "Of 30 that are not alone in their file, 100.0 % have their nearest neighbour in it, by "
        "cosine. By amino-acid composition alone, without any model, 100.0 % would; by chance",
        "31 proteins, all of them within a minute of",
    ):
        assert text in page.text, text
    assert {path.stem for path in (out.parent / "out_report/report_pictures").iterdir()} == {
        *ALWAYS_THERE, "speed", "batches", "dead_letters",
    }  # fmt: skip
    assert "the most frequent reason is invalid_residue" in page.text
    assert "0 lie below" not in page.text
    assert len(page.data["ids"]) == 31
    assert page.data["ids"].count("q1") == 1
    assert sorted(page.data["files"]) == ["a.faa", "b.faa"]
    assert [each["name"] for each in page.data["projections"]][0] == "PCA"
    assert "Speed of the last run" in page.pictures


def test_a_page_fetches_nothing_and_says_so(out: Path, call: Call) -> None:
    page = report_of(call, out)
    (policy,) = (
        a["content"] for t, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert str(policy).startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in str(policy)
    for tag, held in page.tags:
        for name in ("src", "href", "srcset", "action", "data"):
            assert str(held.get(name, "data:")).startswith("data:"), (tag, name)
        assert not [name for name in held if name.startswith("on") or name == "style"], tag
    for tag, held in page.tags:
        if tag == "img":
            assert held["alt"]


def test_no_text_from_outside_becomes_markup(tmp_path: Path, call: Call) -> None:
    output = hostile_output(tmp_path)
    labels = tmp_path / "labels.tsv"
    name = f"{HOSTILE}\"'&amp;"
    labels.write_text(f"id\tf{HOSTILE}\n{name}\t</script>{HOSTILE}\n")
    page = report_of(call, output.root, "--labels", labels)
    assert page.count("script") == 2  # data and ours
    assert page.count("b") == page.count("i") == page.count("s") == 0
    assert not [held for tag, held in page.tags if tag == "img" and held.get("src") == "x"]
    assert page.text.count(HOSTILE) >= 8
    assert set(page.data["ids"]) == {name}
    assert page.data["groups"] == [f"</script>{HOSTILE}"]
    assert page.data["descriptions"][0] == f"</script>{HOSTILE}<!--"


def test_what_is_not_printable_is_escaped(output: Output, call: Call) -> None:
    commit(output, make_block(protein(0, id="a\u202eb")), make_dead_letter(1, id="c\x1b[2J"))
    page = report_of(call, output.root)
    assert page.data["ids"] == [r"a\u202eb"]
    assert r"c\x1b[2J" in page.text
    assert "\u202e" not in page.html


def test_an_output_without_rows_has_a_page(tmp_path: Path, call: Call) -> None:
    (tmp_path / "empty.faa").write_text("")
    assert embed(tmp_path / "out", "--input", tmp_path / "empty.faa") == 0
    page = report_of(call, tmp_path / "out", "--labels", tmp_path / "nowhere.tsv")
    assert "Every record is accounted for: 0 read = 0 embedded + 0 dead-lettered" in page.text
    assert "No protein is embedded yet." in page.text
    assert page.count("img") == page.count("script") == 0


def test_an_output_of_dead_letters_alone_has_a_page(tmp_path: Path, call: Call) -> None:
    (tmp_path / "a.faa").write_text(">a\nM1\n>b\nM2\n>c\n\n>d\nM3\n>e\nM4\n")
    assert embed(tmp_path / "out", "--input", tmp_path / "a.faa") == 3
    page = report_of(call, tmp_path / "out")
    assert "5 read = 0 embedded + 5 dead-lettered" in page.text
    assert page.text.count("is not an amino acid letter") == findings.EXAMPLES
    assert page.pictures == {"Dead letters by reason"}


def test_of_kinds_that_are_as_frequent_none_is_the_most_frequent(
    tmp_path: Path, call: Call
) -> None:
    (tmp_path / "a.faa").write_text(">a\nM1\n>b\n\n")
    assert embed(tmp_path / "out", "--input", tmp_path / "a.faa") == 3
    page = report_of(call, tmp_path / "out")
    assert "2 in all. Examples are below." in page.text


def test_norms_that_stand_out_are_named_with_what_they_are(output: Output, call: Call) -> None:
    rows = [protein(n, description=f"what {n} is") for n in range(12)]
    block = make_block(*rows)
    block.vectors[:] = 1 + np.arange(12)[:, None] / 100
    block.vectors[7] = 50
    commit(output, block)
    page = report_of(call, output.root)
    assert "1 protein, named below." in page.text
    assert "record, from 1" in page.text
    assert "what 7 is" in page.text


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_so_few_rows_have_a_page(rows: int, output: Output, call: Call) -> None:
    commit(output, make_block(*(protein(n) for n in range(rows))))
    page = report_of(call, output.root)
    assert len(page.data["ids"]) == rows
    assert "not finished yet" in page.text
    assert "there is no run_report.json" in page.text


def test_an_output_at_which_a_run_is_at_work_has_a_page(tmp_path: Path, call: Call) -> None:
    output = make_output(tmp_path)
    with hold(output.root, "run1"):
        page = report_of(call, output.root)
        assert "A run is at work" in page.text
        assert "Nothing is committed yet." in page.text
        write_configuration(output.root, CONFIGURATION)
        commit(output, make_block(*(protein(n) for n in range(5))))
        page = report_of(call, output.root)
        assert "A run is at work" in page.text
        assert "1 file not finished yet, with 5 proteins embedded so far." in page.text
    assert "A run is at work" not in report_of(call, output.root).text


def test_parts_may_be_replaced_while_they_are_read(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    for name in "abc":
        (tmp_path / f"in/{name}.faa").write_text(f">{name}\nMKTAYIAKQRW\n")
        assert embed(tmp_path / "out", "--input", f"{tmp_path}/in/", "--input_root", tmp_path) == 0
    survey_rows = findings.survey_rows

    def compact_first(*args: Any) -> object:
        monkeypatch.setattr(findings, "survey_rows", survey_rows)
        compaction.compact_output(str(tmp_path / "out"), 100)
        return survey_rows(*args)

    monkeypatch.setattr(findings, "survey_rows", compact_first)
    assert sorted(report_of(call, tmp_path / "out").data["ids"]) == ["a", "b", "c"]


def test_the_same_command_once_more_takes_nothing_away(tmp_path: Path, call: Call) -> None:
    (tmp_path / "a.faa").write_text(">a\nMKTAYIAKQRW\n>b\nMKV\n>bad\nM1\n")
    options = ("--input", tmp_path / "a.faa")
    read = [embed(tmp_path / "out", *options)]
    reports = []
    for _ in range(2):
        reports.append(json.loads((tmp_path / "out/run_report.json").read_text()))
        assert {"Speed of the last run", "Batch fill of the last run"} <= (
            report_of(call, tmp_path / "out").pictures
        )
        read.append(embed(tmp_path / "out", *options))
    assert set(read) == {3}
    first, second = reports
    assert first["measured_in"] == first["run"] == second["measured_in"] != second["run"]
    for name in ("metrics", "pace", "seconds"):
        assert first[name] == second[name]
    assert (first["totals"]["embedded_this_run"], second["totals"]["embedded_this_run"]) == (2, 0)


def test_a_watch_leaves_what_a_page_tells(tmp_path: Path, call: Call) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.faa").write_text(">a\nMKTAYIAKQRW\n>b\nMKV\n")
    options = ("--watch", "--poll_seconds", "0.1", "--stop_after", "0.5")
    assert embed(tmp_path / "out", "--input", f"{tmp_path}/in/*.faa", *options) == 0
    page = report_of(call, tmp_path / "out")
    assert "2 read = 2 embedded" in page.text
    assert {"Speed of the last run", "Batch fill of the last run"} <= page.pictures


def test_an_output_of_messages_has_a_page(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = (make_message(1, ">a one\nMKTAYIAKQR\n>b\nGGGSSS\n"), make_message(2, "garbage"))
    monkeypatch.setattr(
        "pipeline.dispatch.open_subscription", lambda name: FakeSubscription(*messages)
    )
    options = ("--stop_after", "0.01", "--max_batch_wait", "0.01")
    assert embed(tmp_path / "out", "--input_subscription", FakeSubscription.name, *options) == 3
    page = report_of(call, tmp_path / "out")
    assert sorted(page.data["ids"]) == ["a", "b"]
    assert "3 read = 2 embedded + 1 dead-lettered, in 1 pull." in page.text


def test_an_output_of_shards_has_a_page_before_and_after_it_is_complete(
    tmp_path: Path, call: Call
) -> None:
    (tmp_path / "a.faa").write_text("".join(f">p{n}\n{'MKV' * (n + 1)}\n" for n in range(12)))
    options = ("--input", tmp_path / "a.faa", "--shard")
    assert embed(tmp_path / "out", *options, "0/2") == 0
    assert "1 file not finished yet" in report_of(call, tmp_path / "out").text
    assert embed(tmp_path / "out", *options, "1/2") == 0
    page = report_of(call, tmp_path / "out")
    assert "12 read = 12 embedded" in page.text
    assert "Not known of an output that shards have made" in page.text


def test_a_map_is_of_some_rows_and_all_else_of_all(out: Path, call: Call) -> None:
    page = report_of(call, out, "--map_rows", "10")
    assert len(page.data["ids"]) == 10
    assert "10 of 31 proteins, drawn at random" in page.text
    assert "31 rows: all at distance 0" in page.text


def test_what_composition_gets_is_told_or_why_it_is_not_known(tmp_path: Path, call: Call) -> None:
    (tmp_path / "in").mkdir()
    for name, motif in (("a", "MK"), ("b", "WL")):
        records = (f">{name}{n} {n}\n{motif * (n + 2)}\n" for n in range(4))
        (tmp_path / f"in/{name}.faa").write_text("".join(records))
    labels = tmp_path / "labels.tsv"
    kinds = "".join(f"{name}{n}\t{name}{n % 2}\n" for name in "ab" for n in range(4))
    labels.write_text(f"id\tkind\n{kinds}")
    assert embed(tmp_path / "out", "--input", tmp_path / "in") == 0
    # All of a file have the same composition, so the first other one is as near as any.
    page = report_of(call, tmp_path / "out", "--labels", labels)
    assert "By amino-acid composition alone, without any model, 25.0 % would" in page.text
    (tmp_path / "in/b.faa").write_text(">b0\nMK\n")
    page = report_of(call, tmp_path / "out", "--labels", labels)
    assert "is not known, for b.faa is no more where it was, or has changed" in page.text
    assert "examples/labelled/neighbours_by_family.py" in page.text


def test_ids_that_several_have_are_counted(output: Output, call: Call) -> None:
    rows = [protein(n, id="my", description=f"protein {n // 2}") for n in range(4)]
    commit(output, make_block(*rows, protein(4)))
    page = report_of(call, output.root)
    assert "4 proteins have an id that another one has too" in page.text


def test_parts_over_more_than_a_minute_are_a_picture(output: Output, call: Call) -> None:
    commit(output, make_block(protein(0)))
    (record,) = Path(output.root, "commits").glob("part-*.json")
    record.write_text(re.sub(r'"time": ?"\d{4}', '"time": "2020', record.read_text()))
    commit(output, make_block(protein(1)), sequence=1)
    page = report_of(call, output.root)
    assert "Proteins committed over time" in page.pictures


def test_more_groups_than_have_a_sign_are_offered_by_name(output: Output, call: Call) -> None:
    commit(output, make_block(*(protein(n, f"{n:02}.fa") for n in range(MOST_NAMED + 2))))
    page = report_of(call, output.root)
    offered = [held["value"] for tag, held in page.tags if tag == "option"]
    assert offered == [f"{n:02}.fa" for n in (MOST_NAMED, MOST_NAMED + 1)]


def test_a_map_is_coloured_by_labels(out: Path, call: Call, tmp_path: Path) -> None:
    table = tmp_path / "labels.tsv"
    table.write_text(
        "id\tkind\tcolour\n" + "".join(f"p{n}\tk{n % 7}\tc{n % 2}\n" for n in range(30))
    )
    page = report_of(call, out, "--labels", table, "--label_column", "kind")
    assert page.data["groups"] == [f"k{n}" for n in range(7)]
    assert "30 that are not alone in their kind, 100.0 %" in page.text  # those of a kind are equal
    assert call(out, "--labels", table, "--label_column", "none")[0] == 2
    code, said = call(out, "--label_column", "kind")
    assert (code, "--labels" in said) == (2, True)


def test_a_page_goes_where_it_is_asked_for_and_replaces_only_a_page(
    out: Path, call: Call, tmp_path: Path
) -> None:
    for given, page in (("x.html", "x.html"), ("folder", "folder/report.html")):
        for _ in range(2):
            assert call(out, "--out", tmp_path / given)[0] == 0
        found = tmp_path / page
        pictures = found.with_name(f"{found.stem}_pictures")
        assert found.is_file()
        assert {path.suffix for path in pictures.iterdir()} == {".png"}
    assert call(out, "--out", out.parent)[0] == 0
    assert (out.parent / "report.html").is_file()
    mine = tmp_path / "mine.html"
    mine.write_text("<p>my notes</p>")
    code, said = call(out, "--out", mine)
    assert (code, mine.read_text()) == (2, "<p>my notes</p>")
    assert "no report, so it is not replaced" in said
    map_of_mine = tmp_path / "holiday_pictures/map.png"
    map_of_mine.parent.mkdir()
    map_of_mine.write_text("mine")
    code, said = call(out, "--out", tmp_path / "holiday.html")
    assert (code, map_of_mine.read_text()) == (2, "mine")
    assert "is not there. Delete the folder" in said
    assert call(out, "--out", out / "report.html")[0] == 2
    assert call(out, "--out", "gs://bucket/report.html")[0] == 2
    assert not list(out.glob("*.html"))


def test_a_report_that_was_interrupted_is_made_by_the_same_command(
    out: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(reporting, "_write_pictures", pictures_that_do_not_fit)
        assert call(out, "--out", tmp_path / "x.html")[0] == 1
    assert "is not finished" in (tmp_path / "x.html").read_text()
    assert (tmp_path / "x_pictures/map.png").exists()
    assert call(out, "--out", tmp_path / "x.html")[0] == 0
    assert "is not finished" not in (tmp_path / "x.html").read_text()


def pictures_that_do_not_fit(folder: str, *_: object) -> None:
    Path(folder, "map.png").write_bytes(b"half")
    raise OSError("No space left on device")


def test_pictures_of_an_earlier_report_that_are_no_more_are_deleted(
    tmp_path: Path, output: Output, call: Call
) -> None:
    pictures = tmp_path / "out_report/report_pictures"
    commit(output, make_block(protein(0), protein(1)), make_dead_letter(2))
    report_of(call, output.root)
    assert (pictures / "dead_letters.png").is_file()
    (pictures / "mine.txt").write_text("")
    commit(output, make_block(protein(0), protein(1)))
    assert call(output.root)[0] == 0
    assert not (pictures / "dead_letters.png").exists()
    assert (pictures / "mine.txt").exists()


def test_what_is_no_output_is_told(tmp_path: Path, call: Call) -> None:
    code, said = call(tmp_path)
    assert code == 2
    assert "is not an output" in said
    assert not Path(f"{tmp_path}_report").exists()


def test_a_damaged_part_is_told(output: Output, call: Call) -> None:
    commit(output, make_block(protein(0)))
    (part,) = Path(output.root, "embeddings").iterdir()
    part.write_bytes(part.read_bytes()[:-50])
    code, said = call(output.root)
    assert code == 2
    assert part.name in said
    assert not Path(f"{output.root}_report").exists()


def test_a_package_that_is_missing_is_named(
    out: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, said = call(out)
    assert code == 2
    assert re.search(
        r"A report needs matplotlib .*-m pip install -c .*constraints.txt -e .*\[report\]", said
    )


def test_umap_lays_out_the_same_rows(
    out: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "umap")
    pytest.importorskip("umap")
    data = report_of(call, out).data
    pca, umap = data["projections"]
    assert umap["name"] == "UMAP"
    assert len(umap["points"]) == len(pca["points"]) == len(data["ids"])
    assert np.ptp(umap["points"], axis=0).min() > 100


def test_the_same_output_makes_the_same_pictures(
    out: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for name in ("one", "two"):
        assert call(out, "--out", tmp_path / name)[0] == 0
        pictures = sorted((tmp_path / name / "report_pictures").iterdir())
        found.append({path.name: path.read_bytes() for path in pictures})
    assert found[0] == found[1]
    assert len(found[0]) == 8


def test_of_a_run_of_seconds_no_speed_is_told(
    out: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.reporting.run_charts._SHORT_SECONDS", 10)
    page = report_of(call, out)
    assert "Speed of the last run" not in page.pictures
    assert "of so short a run much was not the model" in page.text
