from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from transforms.esm.encoding import CLS, EOS, encode
from transforms.esm.packing import Pack, Row, pack, pack_passes
from transforms.residues import ALLOWED_RESIDUES

CPU = torch.device("cpu")


@st.composite
def rows(draw: st.DrawFn) -> Row:
    residues = draw(st.text(ALLOWED_RESIDUES, min_size=1, max_size=40))
    first = draw(st.integers(0, len(residues) - 1))
    return Row(residues, first, draw(st.integers(first + 1, len(residues))))


def pieces(packed: Pack, tensor: torch.Tensor) -> list[list[int]]:
    edges = packed.boundaries.tolist()
    return [tensor[a:b].tolist() for a, b in zip(edges, edges[1:], strict=False)]


@given(st.lists(rows(), min_size=1, max_size=8))
def test_each_sequence_stands_whole_between_its_boundaries(chosen: list[Row]) -> None:
    packed = pack(chosen, CPU)
    assert pieces(packed, packed.token_ids) == [encode(row.residues).tolist() for row in chosen]
    assert pieces(packed, packed.positions) == [list(range(row.tokens)) for row in chosen]
    assert packed.longest == max(row.tokens for row in chosen)


@given(st.lists(rows(), min_size=1, max_size=8))
def test_segments_name_the_residues_that_count(chosen: list[Row]) -> None:
    packed = pack(chosen, CPU)
    segments = packed.token_ids.split(packed.segments.tolist())
    for row, averaged in zip(chosen, segments[1::3], strict=True):
        assert averaged.tolist() == encode(row.residues[row.first : row.last]).tolist()[1:-1]


@given(st.lists(st.lists(rows(), min_size=1, max_size=4), min_size=1, max_size=4))
def test_each_of_several_passes_is_what_it_would_be_alone(passes: list[list[Row]]) -> None:
    for found, chosen in zip(pack_passes(passes, CPU), passes, strict=True):
        expected = pack(chosen, CPU)
        assert (len(found), found.longest) == (len(chosen), expected.longest)
        for name in ("token_ids", "positions", "boundaries", "segments"):
            assert getattr(found, name).tolist() == getattr(expected, name).tolist()


def test_nothing_is_asked_of_the_device() -> None:
    packed = pack([Row("MK", 0, 2)], CPU)
    assert packed.token_ids.tolist() == [CLS, 20, 15, EOS]
    assert {t.dtype for t in (packed.token_ids, packed.positions, packed.boundaries)} == {
        torch.int32
    }


@pytest.mark.parametrize(("residues", "message"), [("", "without residues"), ("M*", r"'\*' at")])
def test_what_has_no_tokens_is_refused(residues: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pack([Row("MK", 0, 2), Row(residues, 0, len(residues))], CPU)
