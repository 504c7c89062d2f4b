"""Tests of the .pt format: what torch.save would have written, in little memory."""

from __future__ import annotations

import io
import pickle
import tracemalloc
import weakref
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from transforms import storage
from transforms.output.pt_format import _integer, write_pt


class Forward:
    """A handle that can do no more than an upload can."""

    def __init__(self) -> None:
        self.written = io.BytesIO()

    def write(self, data: Any) -> int:
        return self.written.write(data)

    def flush(self) -> None:
        self.written.flush()


def to_bytes(ids: Sequence[str], blocks: Sequence[np.ndarray]) -> bytes:
    handle = Forward()
    write_pt(handle, ids, blocks)
    return handle.written.getvalue()


def saved_by_torch(ids: list[str], matrix: np.ndarray) -> bytes:
    handle = io.BytesIO()
    torch.save({"proteins": ids, "data": list(torch.from_numpy(matrix).unbind(0))}, handle)
    return handle.getvalue()


def load(data: bytes, weights_only: bool = True) -> dict[str, Any]:
    return torch.load(io.BytesIO(data), weights_only=weights_only)


def make_matrix(rows: int, dim: int, seed: int = 0) -> np.ndarray:
    matrix = np.random.default_rng(seed).standard_normal((rows, dim), dtype=np.float32)
    matrix.reshape(-1)[:3] = [np.nan, -0.0, np.inf][: matrix.size]
    return matrix


def cut(matrix: np.ndarray, at: Sequence[int]) -> list[np.ndarray]:
    return np.split(matrix, sorted(i % (len(matrix) + 1) for i in at))


def describe(content: dict[str, Any]) -> list[Any]:
    """All that can be seen of what was loaded, in values that can be compared."""
    tensors = content["data"]
    storages = {tensor.untyped_storage().data_ptr() for tensor in tensors}
    return [
        (type(content), list(content), type(content["proteins"]), type(tensors), len(storages)),
        [(type(name), name) for name in content["proteins"]],
        [
            (
                type(tensor),
                tensor.dtype,
                tensor.device,
                tuple(tensor.shape),
                tensor.stride(),
                tensor.storage_offset(),
                tensor.untyped_storage().nbytes(),
                tensor.requires_grad,
                tensor._backward_hooks,
                tensor.numpy().tobytes(),
            )
            for tensor in tensors
        ],
    ]


any_text = st.text(st.characters(exclude_categories=()), max_size=20)


@settings(deadline=None)
@example(ids=["", "\ud800", "\x00\n", "𝛼β|\udfff"], dim=3, at=[1], weights_only=True)
@given(
    ids=st.lists(any_text, max_size=12),
    dim=st.integers(1, 70),
    at=st.lists(st.integers(0, 100), max_size=4),
    weights_only=st.booleans(),
)
def test_what_is_loaded_is_what_torch_save_was_given(
    ids: list[str], dim: int, at: list[int], weights_only: bool
) -> None:
    matrix = make_matrix(len(ids), dim)
    actual = load(to_bytes(ids, cut(matrix, at)), weights_only)
    assert describe(actual) == describe(load(saved_by_torch(ids, matrix), weights_only))


@pytest.mark.parametrize("rows", [999, 1000, 1001, 2500])
def test_more_records_than_are_written_at_once(rows: int) -> None:
    ids = [f"p{i}" for i in range(rows)]
    matrix = make_matrix(rows, 3)
    expected = load(saved_by_torch(ids, matrix))
    assert describe(load(to_bytes(ids, cut(matrix, [7, 1200])))) == describe(expected)


def test_an_id_of_ten_kilobytes() -> None:
    name = "ü" * 5000
    assert load(to_bytes([name], [make_matrix(1, 2)]))["proteins"] == [name]


def test_nothing_is_as_torch_saves_it() -> None:
    assert load(to_bytes([], [])) == {"proteins": [], "data": []}
    assert not [name for name in zipfile.ZipFile(io.BytesIO(to_bytes([], []))).namelist()
                if "/data/" in name]  # fmt: skip


def test_a_tensor_does_not_share_what_torch_gives_to_each() -> None:
    first, second = load(to_bytes(["a", "b"], [make_matrix(2, 3)]))["data"]
    assert type(first._backward_hooks) is OrderedDict
    assert first._backward_hooks is not second._backward_hooks


@pytest.mark.parametrize("dtype", [np.float64, ">f4"])
@pytest.mark.parametrize("turned", [False, True])
def test_blocks_of_another_kind_come_out_as_float32(dtype: Any, turned: bool) -> None:
    matrix = np.arange(12, dtype=np.float32).reshape(3, 4)
    block = np.asfortranarray(matrix, dtype) if turned else matrix.astype(dtype)
    loaded = load(to_bytes(["a", "b", "c"], [block]))["data"]
    assert torch.stack(loaded).numpy().tobytes() == matrix.tobytes()


def test_equal_content_has_equal_bytes_however_it_comes_in_blocks() -> None:
    matrix = make_matrix(50, 6)
    ids = [f"p{i}" for i in range(50)]
    whole = to_bytes(ids, [matrix])
    assert to_bytes(ids, cut(matrix, [1, 30, 30])) == whole
    assert to_bytes([*ids[:-1], "other"], [matrix]) != whole


def test_it_is_an_archive_that_every_tool_can_open() -> None:
    with zipfile.ZipFile(io.BytesIO(to_bytes(["a", "b"], [make_matrix(2, 5)]))) as archive:
        assert archive.testzip() is None
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {name.split("/")[0] for name in archive.namelist()} == {"archive"}


def test_a_mapped_file_is_aligned(tmp_path: Path) -> None:
    matrix = make_matrix(9, 7)
    ids = [f"p{i}" for i in range(9)]
    storage.publish(str(tmp_path), "a.pt", lambda handle: write_pt(handle, ids, [matrix]))
    mapped = torch.load(tmp_path / "a.pt", weights_only=True, mmap=True)
    assert torch.stack(mapped["data"]).numpy().tobytes() == matrix.tobytes()
    assert mapped["data"][0].data_ptr() % 64 == 0


@pytest.mark.parametrize("rows", [1, 3])
def test_vectors_that_are_not_as_many_as_ids(rows: int) -> None:
    with pytest.raises(ValueError, match=f"2 ids, but {rows} vectors"):
        to_bytes(["a", "b"], [make_matrix(rows, 4)])


@pytest.mark.parametrize(
    "number", [0, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32, 2**39 - 1, 2**39, 2**62]
)
def test_a_place_in_a_storage_of_any_size(number: int) -> None:
    # 2**31 values are 8 GB: too many for a test of a file.
    assert pickle.loads(b"\x80\x02" + _integer(number) + b".") == number


def test_a_block_is_let_go_before_the_next_one_is_made() -> None:
    alive: list[Any] = []

    def blocks() -> Iterator[np.ndarray]:
        for seed in range(3):
            assert not [block for block in alive if block() is not None]
            block = make_matrix(2, 4, seed)
            alive.append(weakref.ref(block))
            yield block
            del block

    write_pt(Forward(), list("abcdef"), blocks())
    assert len(alive) == 3


def test_memory_is_that_of_a_block_and_not_of_the_file(tmp_path: Path) -> None:
    rows, dim, size = 20_000, 64, 1000
    ids = [f"p{i}" for i in range(rows)]
    blocks = (make_matrix(size, dim, seed) for seed in range(rows // size))
    tracemalloc.start()
    try:
        storage.publish(str(tmp_path), "a.pt", lambda handle: write_pt(handle, ids, blocks))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (tmp_path / "a.pt").stat().st_size > rows * dim * 4
    assert peak < 5 * size * dim * 4  # of 20 blocks
