"""Tests of what a report reckons: pure functions, and one look over the rows of an output."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.file_states import FAILED, FINISHED, FileState
from pipeline.outputs import read_run_report
from pipeline.reporting import colours, sequences
from pipeline.reporting.accounting import account, judge, of_most_interest
from pipeline.reporting.closeness import MOST_NEIGHBOURS, agree, find_closest
from pipeline.reporting.extremes import Extremes, Row
from pipeline.reporting.groups import COLOURS, MOST_NAMED, SHAPES, make_groups
from pipeline.reporting.histogram import Histogram
from pipeline.reporting.labels import read_labels
from pipeline.reporting.moments import Moments
from pipeline.reporting.outliers import LIMIT, modified_z
from pipeline.reporting.past import find_computed, find_growth, find_pace
from pipeline.reporting.projection import project_pca
from pipeline.reporting.sample import choose_places
from pipeline.reporting.scatter import HEIGHT, MARGIN, WIDTH, place
from pipeline.reporting.sequences import NoSequencesError, read_sequences
from pipeline.reporting.survey import survey_rows
from pipeline.reporting.twins import Twins, cosine_distance, tolerance
from pipeline.shared_ids import SharedIds
from tests.helpers import (
    DIM,
    commit,
    make_block,
    make_file_record,
    make_output,
    make_protein,
    vector_of,
)
from transforms.errors import ConfigurationError
from transforms.output.commits import Output, PartRecord, PartSource, read_commits

RNG = np.random.default_rng(5)


def histogram(*blocks: object) -> Histogram:
    made = Histogram()
    for block in blocks:
        made.add(np.array(block))
    return made


def test_whole_numbers_are_counted_exactly_and_quantiles_are_numpys() -> None:
    values = np.concatenate([RNG.integers(1, 30_000, 999), [1, 1, 32_768]])
    found = histogram(values[:100], [], values[100:])
    edges, counts = found.values()
    wanted, wanted_counts = np.unique(values, return_counts=True)
    assert (edges.tolist(), counts.tolist()) == (wanted.tolist(), wanted_counts.tolist())
    for share in (0, 0.001, 0.5, 0.9, 1):
        assert found.quantile(share) == np.quantile(values, share, method="inverted_cdf")


def test_other_values_are_known_to_a_hundredth_of_a_percent_whatever_their_size() -> None:
    for value in (1e-30, 3.14159, 12345.678, 1e30, 3.4e38):
        assert histogram([value]).quantile(0.5) == pytest.approx(value, rel=1e-4)


def test_what_is_beyond_float32_counts_as_its_largest() -> None:
    """A norm may be, of a vector that is finite."""
    found = histogram([1.0, 1e39])
    assert found.quantile(1) == pytest.approx(np.finfo(np.float32).max, rel=1e-4)
    assert found.bars(8, 0.1).counts.sum() == 2


def test_bars_are_those_of_numpy_and_lose_nothing() -> None:
    values = RNG.integers(50, 650, 5_000)
    bars = histogram(values).bars(48, 0.005, are_whole=True)
    assert bars.counts.tolist() == np.histogram(values, bars.edges)[0].tolist()
    assert set(np.diff(bars.edges)) == {13.0}  # whole, so that no bar gets more numbers
    assert (bars.below, bars.above, bars.counts.sum()) == (0, 0, 5_000)

    bars = histogram(values, [30_000, 31_000]).bars(48, 0.005, are_whole=True)
    assert bars.above >= 2
    assert bars.counts.sum() + bars.below + bars.above == 5_002
    assert bars.edges[-1] < 700


@pytest.mark.parametrize("are_whole", [True, False])
def test_bars_of_equal_values_and_of_none(are_whole: bool) -> None:
    assert histogram([7, 7, 7]).bars(48, 0.005, are_whole).counts.sum() == 3
    assert histogram([0.0]).bars(48, 0.005, are_whole).counts.sum() == 1
    assert histogram().bars(48, 0.005, are_whole).counts.sum() == 0
    assert np.isnan(histogram().quantile(0.5))


def test_mean_and_spread_are_those_of_all_blocks_also_far_from_zero() -> None:
    vectors = (1e4 + RNG.standard_normal((1_000, 6))).astype(np.float32)
    moments = Moments(6)
    for start, stop in ((0, 1), (1, 1), (1, 700), (700, 1_000)):
        moments.add(vectors[start:stop])
    exact = vectors.astype(np.float64)
    np.testing.assert_allclose(moments.mean, exact.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.deviation, exact.std(axis=0), rtol=1e-9)
    assert Moments(3).deviation.tolist() == [0, 0, 0]


def test_outliers_are_told_by_median_and_mad() -> None:
    values = np.array([9.0, 10, 10, 11, 12, 100, -80])
    apart = np.abs(values - 10)
    assert np.median(apart) == 1
    np.testing.assert_allclose(modified_z(values), 0.6745 * (values - 10))
    assert (np.abs(modified_z(values)) > LIMIT).tolist() == [False] * 5 + [True] * 2
    # Most are the same: the mean of the distances tells instead. All are: nothing stands out.
    assert np.abs(modified_z(np.array([1.0] * 99 + [5.0])))[-1] > LIMIT
    assert modified_z(np.ones(5)).tolist() == [0] * 5
    counted = modified_z(np.array([100.0]), np.array([9.0, 10, 11]), np.array([5, 9, 5]))
    listed = modified_z(np.array([100.0]), np.repeat([9.0, 10, 11], [5, 9, 5]))
    assert counted.tolist() == listed.tolist()


def test_extremes_are_those_of_all_blocks_each_once() -> None:
    values = RNG.permutation(100).astype(float)
    extremes = Extremes(3)
    for start in range(0, 100, 9):
        extremes.add(
            values[start : start + 9], lambda row, start=start: Row(str(start + row), "", 0)
        )
    found = extremes.all()
    assert [each.value for each in found] == [0, 1, 2, 97, 98, 99]
    assert all(values[int(each.row.id)] == each.value for each in found)
    few = Extremes(3)
    few.add(np.array([2.0, 1.0]), lambda row: Row(str(row), "", 0))
    assert [each.value for each in few.all()] == [1, 2]


def name(row: int) -> Row:
    return Row(f"p{row}", "a.fa", row)


def test_rows_of_one_sequence_are_compared_wherever_they_are() -> None:
    vectors = RNG.standard_normal((6, 8)).astype(np.float32)
    digests = np.array([7, 8, 9, 7, 8, 7], np.uint64)
    vectors[3] = vectors[5] = vectors[0]
    vectors[4] = vectors[1]
    twins = Twins()
    twins.add(digests[:2], vectors[:2], name)
    twins.add(digests[2:], vectors[2:], lambda row: name(row + 2))
    found = twins.result()
    assert (found.sequences, found.repeated, found.rows, found.are_all) == (3, 2, 5, True)
    assert (found.distance, found.pair) == (0, None)

    twins.add(digests[:1], -vectors[:1], lambda row: name(99))
    found = twins.result()
    assert found.distance == pytest.approx(2)
    assert found.pair == (name(0), name(99))
    assert found.distance > tolerance("float16") > tolerance("float32")


def test_of_many_sequences_some_are_looked_at_with_all_their_rows() -> None:
    digests = RNG.permutation(np.repeat(RNG.integers(0, 1 << 63, 500, np.uint64), 2))
    vectors = np.ones((1_000, 2), np.float32)
    twins = Twins(most=50)
    for start in range(0, 1_000, 33):
        twins.add(digests[start : start + 33], vectors[start : start + 33], name)
    found = twins.result()
    assert (found.sequences, found.are_all) == (50, False)
    assert (found.repeated, found.rows) == (50, 100)


def test_a_distance_is_one_less_the_cosine() -> None:
    a, b = np.array([3.0, 0], np.float32), np.array([1.0, 1], np.float32)
    assert cosine_distance(a, b) == pytest.approx(1 - 0.5**0.5, abs=1e-9)
    assert cosine_distance(a, 2 * a) == 0
    assert cosine_distance(a, 0 * a) == 1


def test_a_sample_is_of_distinct_rows_in_order_and_the_same_every_time() -> None:
    assert choose_places(5, 5).tolist() == [0, 1, 2, 3, 4]
    assert choose_places(0, 5).tolist() == []
    for rows in (1_000, 10**9):
        places = choose_places(rows, 50)
        assert len(set(places.tolist())) == 50
        assert (np.diff(places) > 0).all()
        assert 0 <= places[0] < places[-1] < rows
        assert places.tolist() == choose_places(rows, 50).tolist()


@pytest.mark.parametrize("shape", [(200, 12), (12, 200), (2, 5)])
def test_pca_is_that_of_the_singular_value_decomposition(shape: tuple[int, int]) -> None:
    vectors = (RNG.standard_normal(shape) * np.linspace(3, 1, shape[1]) + 5).astype(np.float32)
    found = project_pca(vectors)
    centred = vectors.astype(np.float64) - vectors.astype(np.float64).mean(axis=0)
    _, sizes, components = np.linalg.svd(centred, full_matrices=False)
    for axis in range(2):
        component = components[axis] * np.sign(
            components[axis][np.argmax(np.abs(components[axis]))]
        )
        share = sizes[axis] ** 2 / (sizes**2).sum()
        assert found.shares[axis] == pytest.approx(share, abs=1e-9)
        if share > 1e-9:  # of two points there is no second axis
            np.testing.assert_allclose(found.points[:, axis], centred @ component, atol=1e-6)


def test_pca_of_nothing_that_varies_is_a_point() -> None:
    for vectors in (np.ones((1, 4)), np.full((5, 4), 0.1, np.float32), np.ones((3, 1))):
        found = project_pca(vectors)
        assert not found.points.any()
        assert found.shares == (0, 0)


def test_neighbours_are_those_of_brute_force_and_never_the_row_itself() -> None:
    vectors = RNG.standard_normal((60, 5)).astype(np.float32)
    vectors[40:] = vectors[40]  # more of the same than are found
    found = find_closest(vectors)
    assert found.neighbours.shape == (60, MOST_NEIGHBOURS)
    assert (found.neighbours != np.arange(60)[:, None]).all()
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = units @ units.T
    np.fill_diagonal(cosines, -2)
    best = np.sort(cosines, axis=1)[:, ::-1][:, :MOST_NEIGHBOURS]
    np.testing.assert_allclose(found.cosines, best, atol=1e-6)
    assert find_closest(vectors[:1]) is None
    pair = find_closest(vectors[:2])
    assert pair.neighbours.tolist() == [[1], [0]]


def test_agreement_counts_rows_that_have_another_one_of_their_group() -> None:
    vectors = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1], [-1, 0]], np.float32)
    closeness = find_closest(vectors)
    assert closeness is not None
    found = agree(closeness, ["x", "x", "y", "x", "z"])
    assert (found.rows, found.agreeing) == (3, 2)  # y and z are alone
    assert found.by_chance == pytest.approx(2 / 4)
    assert agree(closeness, [None] * 5).rows == 0


def test_sequences_are_those_of_the_files_while_they_are_what_was_embedded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.fa"
    path.write_bytes(b">a\nMKt\n>bad\n\n>c\nWW\n")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    size = path.stat().st_size
    record = make_file_record("a.fa", 2, 1, url=str(path), size=size, sha256=digest)
    rows, files = [("a.fa", 2), ("a.fa", 0)], {"a.fa": record}
    assert read_sequences(rows, files) == ["WW", "MKT"]
    monkeypatch.setattr(sequences, "MOST_BYTES", size - 1)
    with pytest.raises(NoSequencesError, match="more than"):
        read_sequences(rows, files)
    monkeypatch.undo()
    with pytest.raises(NoSequencesError, match=r"b\.fa is not finished"):
        read_sequences([("b.fa", 0)], files)
    path.write_bytes(path.read_bytes().replace(b"W", b"V"))
    with pytest.raises(NoSequencesError, match="no more what was embedded"):
        read_sequences(rows, files)
    path.write_bytes(b">a\nM\n")
    with pytest.raises(NoSequencesError, match="no more where it was, or has changed"):
        read_sequences(rows, files)
    path.unlink()
    with pytest.raises(NoSequencesError, match="no more where it was"):
        read_sequences(rows, files)


def test_ids_that_several_records_have_are_counted() -> None:
    shared = SharedIds()
    assert shared.count() == 0
    shared.add(["my", "my", "x"])
    shared.add(["x", "my", "y", ""])
    assert (shared.count(), shared.are_all) == (5, True)
    few = SharedIds(2)
    few.add(["my", "my", "my"])
    assert (few.count(), few.are_all) == (2, False)


def test_labels_are_found_by_id_or_accession(tmp_path: Path) -> None:
    table = tmp_path / "labels.tsv"
    table.write_bytes("\ufeffid\tfamily\torganism\r\na\tF 1\tE\r\nP12345\tF2\nb\t\tE\nc".encode())
    labels = read_labels(str(table), None, {"a", "b", "c", "P12345"})
    assert labels.column == "family"
    assert labels.of(["a", "sp|P12345|X", "b", "c", "d"], [None, "P12345", None, None, None]) == [
        "F 1", "F2", None, None, None,
    ]  # fmt: skip
    assert read_labels(str(table), "organism", {"a"}).by_id == {"a": "E"}
    for column, wanted, said in (
        ("kind", {"a"}, "no column kind.*family, organism"),
        ("famly", {"a"}, r"no column famly after the first\. Did you mean family\?"),
        ("id", {"a"}, "no column id"),
        (None, {"z"}, "no family for any of the ids"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            read_labels(str(table), column, wanted)
    table.write_text("id,family\na,F1\n")
    with pytest.raises(ConfigurationError, match="Are there tabs"):
        read_labels(str(table), None, {"a"})
    table.write_bytes(b"id\tf\xff")
    with pytest.raises(ConfigurationError, match="UTF-8"):
        read_labels(str(table), None, {"a"})
    with pytest.raises(ConfigurationError, match="No such file"):
        read_labels(str(tmp_path / "none"), None, {"a"})


GOOD = FileState("good", FINISHED, 3, 2, 5)
WRONG = FileState("wrong", FINISHED, 3, 1, 5)
OPEN = FileState("open", rows=7)
UNREAD = FileState("failed", FAILED)


def test_records_are_accounted_for_file_by_file() -> None:
    assert account([GOOD, UNREAD, OPEN], "file") == [
        "Every record is accounted for: 5 read = 3 embedded + 2 dead-lettered, in 1 file.",
        "1 file could not be read to the end.",
        "1 file not finished yet, with 7 proteins embedded so far.",
    ]
    verdicts = [judge(files) for files in ([GOOD], [GOOD, UNREAD], [OPEN], [], [WRONG])]
    assert verdicts == ["good", "open", "open", "open", "bad"]
    assert "1 file does not add up" in account([GOOD, WRONG], "file")[0]
    assert account([], "file") == ["Nothing is committed yet."]


def test_what_is_wrong_is_listed_first() -> None:
    large = FileState("large", FINISHED, 900, 0, 900)
    files = [large, GOOD, OPEN, WRONG]
    assert [each.source for each in of_most_interest(files)] == ["wrong", "open", "good", "large"]
    assert len(of_most_interest(files, 2)) == 2


def test_the_largest_groups_have_colours() -> None:
    count = MOST_NAMED + 2
    groups = [f"g{n}" for n in range(count) for _ in range(count - n)] + [None]
    found = make_groups("family", groups)
    assert found.named[0] == ("g0", count)
    assert len(found.named) == MOST_NAMED
    assert (found.rest, found.count) == ("2 more and none", count)
    assert found.others == (f"g{count - 2}", f"g{count - 1}")
    assert found.numbers[: count + 1] == (0,) * count + (1,)
    # No two have the same sign.
    assert len({(n % COLOURS, n % SHAPES) for n in range(MOST_NAMED)}) == MOST_NAMED
    assert found.numbers[-1] == -1
    assert make_groups("file", []).rest == ""
    assert make_groups("file", ["a\u202eb"]).named == (("a\\u202eb", 1),)


def test_points_fill_the_drawing_and_few_far_ones_do_not_squeeze_the_others() -> None:
    points = RNG.standard_normal((1_000, 2))
    placed, beyond = place(points)
    assert beyond == 0
    np.testing.assert_allclose(placed.min(axis=0), MARGIN)
    np.testing.assert_allclose(placed.max(axis=0), [WIDTH - MARGIN, HEIGHT - MARGIN])
    assert placed[np.argmax(points[:, 1]), 1] == pytest.approx(MARGIN)  # upwards is upwards
    points[0] = [1e6, 0]
    placed, beyond = place(points)
    assert 0 < beyond <= 10
    assert placed[0, 0] == pytest.approx(WIDTH - MARGIN)
    assert np.std(placed[1:, 0]) > 100
    placed, beyond = place(np.ones((3, 2)))
    assert placed.tolist() == [[WIDTH / 2, HEIGHT / 2]] * 3


def part(number: int, seconds: int, rows: int) -> PartRecord:
    time = datetime(2026, 1, 31, tzinfo=UTC) + timedelta(seconds=seconds)
    text = time.isoformat().replace("+00:00", "Z")
    return PartRecord(f"part-{number}", "r", "e", None, text, {"a": PartSource("", rows, 0)})


def test_growth_adds_up_rows_by_time_in_bounded_steps() -> None:
    found = find_growth([part(1, 50, 3), part(2, 10, 4)])
    assert found.rows == (4, 7)
    assert found.times[0] < found.times[1]
    many = find_growth([part(n, n, 1) for n in range(2_501)])
    assert len(many.times) <= 1_000
    assert many.rows[-1] == 2_501
    assert find_growth([]).times == ()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pace": {"span_seconds": "x"}, "metrics": 3}'])
def test_a_report_that_does_not_tell_is_as_good_as_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "run_report.json").write_text(text)
    report = read_run_report(str(tmp_path))
    assert find_pace(report) is None
    assert find_computed(report) is None


def test_a_report_tells_what_was_computed(tmp_path: Path) -> None:
    pace = {"span_seconds": 2, "residues": [5, 6], "records": [1, 1], "batch_fill": [0, 3]}
    metrics = {"passes": 4, "tokens": 90, "padding_tokens": 10}
    (tmp_path / "run_report.json").write_text(json.dumps({"pace": pace, "metrics": metrics}))
    report = read_run_report(str(tmp_path))
    found, computed = find_pace(report), find_computed(report)
    assert (found.span, found.residues, found.fill) == (2, (5, 6), (0, 3))
    assert (computed.passes, computed.tokens, computed.padding) == (4, 90, 10)


def test_one_look_tells_all_and_leaves_out_what_is_broken(output: Output) -> None:
    proteins = [make_protein(n, sequence="MKT" * (n + 1)) for n in range(40)]
    vectors = np.array([vector_of(protein) for protein in proteins])
    vectors[7, 2] = np.nan
    commit(output, make_block(*proteins[:25], vectors=vectors[:25]), sequence=0)
    commit(output, make_block(*proteins[25:], vectors=vectors[25:]), sequence=1)
    parts = read_commits(output.root).parts_with_rows()
    survey = survey_rows(output.root, parts, DIM, 30)
    good = np.delete(vectors, 7, axis=0).astype(np.float64)
    assert (survey.rows, survey.norms.total) == (40, 39)
    assert survey.residues == sum(len(protein.sequence) for protein in proteins)
    assert survey.lengths.quantile(1) == 120
    np.testing.assert_allclose(survey.moments.deviation, good.std(axis=0))
    assert survey.faults == ["a.fa-7 (a.fa, record 8): its vector holds NaN or infinity"]
    sample = survey.sampler.result()
    by_id = {protein.id: vector for protein, vector in zip(proteins, vectors, strict=True)}
    for record, vector in zip(sample.column("id"), sample.vectors, strict=True):
        assert by_id[record].tobytes() == vector.tobytes()
    assert 29 <= len(sample) <= 30
    greatest = int(np.argmax(np.linalg.norm(good, axis=1)))
    assert survey.extremes.all()[-1].row.ordinal == greatest + (greatest >= 7)


def test_a_part_with_another_number_of_rows_is_told(tmp_path: Path) -> None:
    output = make_output(tmp_path)
    commit(output, make_block(make_protein(0), make_protein(1)))
    (held,) = read_commits(output.root).parts.values()
    more = PartRecord(
        held.part, held.run, held.embeddings, None, held.time, {"a.fa": PartSource("", 3, 0)}
    )
    assert (
        "was committed with 3 rows and holds 2"
        in survey_rows(output.root, [more], DIM, 9).faults[0]
    )


def test_a_digest_that_is_none_is_damage(output: Output) -> None:
    commit(output, make_block(make_protein(0, sequence_sha256="no digest")))
    parts = read_commits(output.root).parts_with_rows()
    with pytest.raises(ConfigurationError, match=f"{parts[0].embeddings} is damaged"):
        survey_rows(output.root, parts, DIM, 9)


def test_the_style_has_the_colours_of_the_pictures() -> None:
    style = resources.files("pipeline.reporting").joinpath("style.css").read_text()
    found = dict(re.findall(r"--(\w+): (#\w{6})", style.partition("@media")[0]))
    for name in ("ground", "ink", "muted", "line", "main", "alarm", "others"):
        assert found[name] == getattr(colours, name.upper()), name
    assert tuple(found[f"g{n}"] for n in range(COLOURS)) == colours.GROUPS


def test_a_table_without_rows_has_a_sample_without_rows(tmp_path: Path) -> None:
    sample = survey_rows(str(tmp_path), [], 0, 10).sampler.result()
    assert len(sample) == 0
    assert sample.column("id") == []
    assert isinstance(sample.table, pa.Table)
