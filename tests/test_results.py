"""Tests of what is published, made of parts on disk."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers import make_block, make_dead_letter, make_end, make_output, make_protein
from transforms import results
from transforms.items import DeadLetter, FinishedFile, Protein
from transforms.output.commits import INPUTS, MESSAGES, Output, read_part_record
from transforms.output.gathering import Gathered, gather
from transforms.output.parts import write_part
from transforms.results import Outgoing, make_answers, make_dead_letters, read_outcomes

SOURCE = "pubsub/sub/1"
DIM = 64
ATTRIBUTES = {"tenant": "x", "outcome": "mine", "googclient_schemaencoding": "JSON"}


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return make_output(tmp_path, configuration=((INPUTS, MESSAGES),))


def of_message(number: int, **attributes: str) -> dict[str, Any]:
    return {
        "source": SOURCE,
        "message_id": f"m{number}",
        "publish_time": f"2026-01-31T12:00:0{number}.000000Z",
        "attributes": json.dumps(attributes) if attributes else "",
    }


def commit(output: Output, *parts: list[Protein | DeadLetter]) -> Gathered:
    """Commits parts and finds what they hold of the pull."""
    names = [f"part-run1-0-{number}" for number in range(len(parts))]
    rows = dead = 0
    for name, records in zip(names, parts, strict=True):
        proteins = [record for record in records if isinstance(record, Protein)]
        letters = [record for record in records if isinstance(record, DeadLetter)]
        write_part(
            name, [*([make_block(*proteins, dim=DIM)] if proteins else []), *letters], output
        )
        rows += sum(protein.source == SOURCE for protein in proteins)
        dead += len(letters)
    whole = FinishedFile(make_end(rows + dead, SOURCE), rows, dead, ())
    return gather(whole, [read_part_record(output.root, name) for name in names], output.root)


def answers(found: Gathered, output: Output, **options: int) -> list[Outgoing]:
    return list(make_answers(read_outcomes(found), SOURCE, output, **options))


def ordinals(message: Outgoing) -> list[int]:
    return [record["ordinal"] for record in json.loads(message.data)["records"]]


def test_an_answer_has_the_outcomes_of_its_message_in_order_wherever_they_lie(
    output: Output,
) -> None:
    proteins = {
        ordinal: make_protein(ordinal, **of_message(number), changes="upper-cased")
        for number, ordinal in ((0, 0), (0, 1), (1, 2), (1, 4), (1, 5))
    }
    failed = make_dead_letter(3, **of_message(1))
    other = make_dead_letter(6, **of_message(2, **ATTRIBUTES))
    another = make_protein(9, **{**of_message(9), "source": "pubsub/sub/0"})
    # A run that was killed leaves the later ones in its part.
    found = commit(
        output,
        [proteins[1], proteins[4], failed],
        [proteins[0], proteins[2], other, another, proteins[5]],
    )
    first, second, third = answers(found, output)
    assert [ordinals(each) for each in (first, second, third)] == [[0, 1], [2, 3, 4, 5], [6]]
    content = json.loads(second.data)
    assert content | {"records": None} == {
        "message_id": "m1",
        "publish_time": "2026-01-31T12:00:01.000000Z",
        "attributes": {},
        "source": SOURCE,
        "model_id": "demo",
        "model_revision": "rev1",
        "page": 0,
        "last": True,
        "records": None,
    }
    row, letter, *_ = content["records"]
    vector = np.frombuffer(base64.b64decode(row.pop("embedding")), "<f4")
    np.testing.assert_array_equal(vector, make_block(proteins[2], dim=DIM).vectors[0])
    assert row == {
        "ordinal": 2,
        "id": proteins[2].id,
        "status": "embedded",
        "sequence_length": 6,
        "residues_used": 6,
        "truncated": False,
        "residue_changes": "upper-cased",
        "sequence_sha256": proteins[2].sequence_sha256,
    }
    assert letter == {
        "ordinal": 3,
        "id": failed.id,
        "status": "dead_lettered",
        "stage": "residues",
        "error_type": "invalid_residue",
        "message": "it does not work",
    }
    assert first.attributes == {"message_id": "m0", "outcome": "embedded"}
    assert second.attributes == {"message_id": "m1", "outcome": "mixed"}
    # Ours come first, Google's own cannot be published; the data has them as they came.
    assert third.attributes == {"message_id": "m2", "outcome": "dead_lettered", "tenant": "x"}
    assert json.loads(third.data)["attributes"] == ATTRIBUTES
    assert answers(found, output) == [first, second, third]


def test_an_answer_that_is_too_large_comes_in_pages(output: Output) -> None:
    found = commit(output, [make_protein(n, **of_message(n // 8)) for n in range(16)])
    pages = answers(found, output, most=3000)
    assert all(len(page.data) <= 3000 for page in pages)
    assert [n for page in pages for n in ordinals(page)] == list(range(16))
    of_first = [json.loads(p.data) for p in pages if p.attributes["message_id"] == "m0"]
    assert len(of_first) > 1
    assert [page["page"] for page in of_first] == list(range(len(of_first)))
    assert [page["last"] for page in of_first] == [False] * (len(of_first) - 1) + [True]


def test_a_dead_letter_is_its_line_with_the_attributes_of_its_message(output: Output) -> None:
    letter = make_dead_letter(1, **of_message(1, **ATTRIBUTES))
    found = commit(output, [make_protein(0, **of_message(0)), letter])
    (message,) = make_dead_letters(found)
    (path,) = Path(output.root, "dead_letters").iterdir()
    assert message.data + b"\n" == path.read_bytes()
    assert message.attributes == {
        "message_id": "m1",
        "stage": "residues",
        "error_type": "invalid_residue",
        "tenant": "x",
        "outcome": "mine",
    }


def test_what_fits_into_no_message_is_cut_and_says_so(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "CUT_LETTERS", 100)
    letter = make_dead_letter(1, id="é" * 1000, sequence="x" * 1000, **of_message(0))
    protein = make_protein(0, id="y" * 3000, **of_message(0))
    found = commit(output, [protein, letter])
    (message,) = make_dead_letters(found, 2000)
    content = json.loads(message.data)
    assert (content["id"], content["sequence"]) == ("é" * 100, "x" * 100)
    assert sorted(content["cut"]) == ["id", "sequence"]
    (answer,) = answers(found, output, most=2000)
    row, _ = json.loads(answer.data)["records"]
    assert (row["id"], row["cut"]) == ("y" * 100, ["id"])  # the vector is longer, and whole
    assert len(base64.b64decode(row["embedding"])) == 4 * DIM


def test_a_message_has_no_more_attributes_than_pub_sub_takes(output: Output) -> None:
    many = {f"k{n:03}": "v" for n in range(100)}
    found = commit(output, [make_dead_letter(0, **of_message(0, **many))])
    for message in (*answers(found, output), *make_dead_letters(found)):
        assert len(message.attributes) == 100
        assert message.attributes["message_id"] == "m0"
