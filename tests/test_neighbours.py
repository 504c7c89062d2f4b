"""Tests of the search for the nearest rows, against brute force."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from transforms.output.neighbours import DECIMALS, Block, Neighbours, nearest


def brute_force(queries: np.ndarray, vectors: np.ndarray, keys: np.ndarray, top: int) -> np.ndarray:
    """The keys of the nearest rows, (Q, top, K), by all cosines in float64."""
    left, right = (m / np.linalg.norm(m, axis=1, keepdims=True) for m in (
        queries.astype(np.float64), vectors.astype(np.float64)
    ))  # fmt: skip
    cosines = np.round(left @ right.T, DECIMALS)
    return np.stack([keys[np.lexsort((keys[:, 1], keys[:, 0], -row))[:top]] for row in cosines])


def cut(vectors: np.ndarray, keys: np.ndarray, size: int) -> Iterator[Block]:
    for start in range(0, len(vectors), size):
        yield Block(vectors[start : start + size], keys[start : start + size])


def make_rows(count: int, dim: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors as near to each other as those of a model, many of them twice, in no order."""
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=dim)
    vectors = (centre + 0.03 * rng.normal(size=(count, dim))).astype(np.float32)
    vectors[count // 2 :] = vectors[rng.integers(count // 2, size=count - count // 2)]
    keys = rng.permutation(np.stack([np.arange(count) % 7, np.arange(count) // 7], axis=1))
    return vectors, keys.astype(np.int64)


@pytest.mark.parametrize("size", [1, 97, 3000])
def test_it_agrees_with_brute_force_whatever_the_blocks(size: int) -> None:
    vectors, keys = make_rows(3000 if size > 1 else 300, 96)
    rng = np.random.default_rng(1)
    noise = 0.01 * rng.normal(size=(100, 96))
    queries = (vectors[:100] + noise).astype(np.float32)
    queries[:10] = vectors[:10]
    found = nearest(queries, cut(vectors, keys, size), top=10)
    expected = brute_force(queries, vectors, keys, 10)
    agreeing = sum(np.array_equal(each.keys, e) for each, e in zip(found, expected, strict=True))
    assert agreeing == 100
    assert all((np.diff(each.cosines) <= 0).all() for each in found)
    assert all(each.cosines[0] == 1 for each in found[:10])


def test_rows_that_float32_cannot_tell_apart_are_told_apart() -> None:
    rng = np.random.default_rng(3)
    query = rng.normal(size=(1, 256)).astype(np.float32)
    others = 3e-4 * rng.normal(size=(400, 256))
    vectors = (query + np.linspace(1, 1.2, 400)[:, None] * others).astype(np.float32)
    keys = rng.permutation(np.stack([np.zeros(400, int), np.arange(400)], axis=1))
    (expected,) = brute_force(query, vectors, keys, 5)
    for size in (8, 400):
        (found,) = nearest(query, cut(vectors, keys, size), top=5)
        np.testing.assert_array_equal(found.keys, expected)
        assert len(set(found.cosines.tolist())) > len(set(found.cosines.astype(np.float32)))


def test_equal_cosines_go_by_key_wherever_they_lie() -> None:
    rng = np.random.default_rng(2)
    vector = rng.normal(size=32).astype(np.float32)
    scales = np.array([1, 2, 0.5, 4, 1, 8, 0.25], np.float32)
    keys = np.array([[1, 9], [0, 7], [1, 2], [0, 8], [2, 0], [1, 1], [0, 3]])
    for size in (1, 2, 7):
        (found,) = nearest(vector[None], cut(vector * scales[:, None], keys, size), top=5)
        assert found.keys.tolist() == [[0, 3], [0, 7], [0, 8], [1, 1], [1, 2]]
        assert found.cosines.tolist() == [1.0] * 5


def test_few_rows_none_and_zero() -> None:
    def search(vectors: np.ndarray, top: int = 3) -> Neighbours:
        keys = np.arange(2 * len(vectors)).reshape(-1, 2)
        (found,) = nearest(np.array([[1, 0]], np.float32), cut(vectors, keys, 4), top)
        return found

    found = search(np.array([[-3, 0], [0, 0]], np.float32))
    assert found.cosines.tolist() == [0, -1]
    assert found.keys.tolist() == [[2, 3], [0, 1]]
    assert len(search(np.zeros((0, 2), np.float32)).cosines) == 0
    with pytest.raises(ValueError, match="NaN"):
        search(np.array([[np.nan, 0]], np.float32))
    assert nearest(np.zeros((0, 2), np.float32), [], 3) == []
