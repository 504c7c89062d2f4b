"""Tests of decompression told by content."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.errors import FastaFormatError
from transforms.inputs import compression
from transforms.inputs.compression import BombError, CorruptError, TruncatedError, decompress

TEXT = b"".join(b">p%d\nMKTAYIAKQR%d\n" % (n, n * n) for n in range(200))

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
}

every_kind = pytest.mark.parametrize("kind", COMPRESS)


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def unpack(data: bytes, size: int = 1 << 20) -> bytes:
    return b"".join(decompress(cut(data, size)))


@pytest.mark.parametrize("size", [1, 7, 1000, 1 << 20])
@every_kind
def test_content_is_restored_however_it_is_cut(kind: str, size: int) -> None:
    assert unpack(COMPRESS[kind](TEXT), size) == TEXT


@pytest.mark.parametrize("data", [b"", b"\n", b">a\nMK\n", b"BZ", b"\x1f", TEXT])
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_plain_text_passes(data: bytes, size: int) -> None:
    assert unpack(data, size) == data


def test_empty_chunks_are_no_end() -> None:
    packed = gzip.compress(TEXT)
    assert b"".join(decompress([b"", packed[:3], b"", packed[3:], b""])) == TEXT
    assert b"".join(decompress([b"", b">a\n", b"", b"MK"])) == b">a\nMK"


@pytest.mark.parametrize("size", [1, 50, 1 << 20])
@every_kind
def test_members_are_read_one_after_the_other(kind: str, size: int) -> None:
    pack = COMPRESS[kind]
    assert unpack(pack(b">a\nMK\n") + pack(b"") + pack(TEXT), size) == b">a\nMK\n" + TEXT


@every_kind
def test_an_empty_member_is_empty(kind: str) -> None:
    assert unpack(COMPRESS[kind](b"")) == b""


def test_zstd_may_begin_with_a_skippable_frame() -> None:
    skippable = b"\x53\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"abcd"
    assert unpack(skippable + COMPRESS["zstd"](TEXT)) == TEXT


@every_kind
def test_data_cut_anywhere_are_truncated(kind: str) -> None:
    packed = COMPRESS[kind](TEXT)
    for length in range(6, len(packed)):
        with pytest.raises(TruncatedError, match=f"{kind} data end early, after {length:,} bytes"):
            unpack(packed[:length], length // 3)


@every_kind
def test_a_truncated_last_member_is_told(kind: str) -> None:
    packed = COMPRESS[kind](TEXT)
    with pytest.raises(TruncatedError, match=f"after {2 * len(packed) - 3:,} bytes"):
        unpack((packed + packed)[:-3])


def test_text_before_the_cut_is_yielded_first() -> None:
    chunks = decompress([gzip.compress(TEXT)[:-8]])
    assert next(chunks) == TEXT
    with pytest.raises(TruncatedError):
        next(chunks)


@pytest.mark.parametrize("position", [-8, -1])  # CRC-32 and length
def test_a_wrong_gzip_trailer_is_damage(position: int) -> None:
    packed = bytearray(gzip.compress(TEXT))
    packed[position] ^= 1
    with pytest.raises(CorruptError, match=f"damaged between bytes 0 and {len(packed):,} "):
        unpack(bytes(packed))


@every_kind
def test_a_flipped_bit_is_never_silent(kind: str) -> None:
    packed = COMPRESS[kind](TEXT)
    for position in range(10, len(packed)):
        flipped = bytearray(packed)
        flipped[position] ^= 0x10
        with suppress(FastaFormatError):
            assert unpack(bytes(flipped)) == TEXT  # a bit without meaning, or an error


@every_kind
def test_damage_is_placed(kind: str) -> None:
    packed = COMPRESS[kind](TEXT)
    damaged = packed + packed[:6] + b"\xff" * 100
    with pytest.raises(
        CorruptError, match=f"{kind} data are damaged between bytes {len(packed):,} and"
    ):
        unpack(damaged)


@pytest.mark.parametrize("garbage", [b"garbage!", b"\n", b"\x1f", b"\0\0x"])
@pytest.mark.parametrize("size", [10, 1 << 20])
@every_kind
def test_something_else_after_the_end_is_refused(kind: str, size: int, garbage: bytes) -> None:
    packed = COMPRESS[kind](TEXT)
    position = len(packed) + len(garbage) - len(garbage.lstrip(b"\0"))
    with pytest.raises(CorruptError, match=f"end at byte {position:,}, but something else"):
        unpack(packed + garbage, size)


@pytest.mark.parametrize("padding", [1, 4, 512, 100_000])
@every_kind
def test_zero_padding_is_tolerated(kind: str, padding: int) -> None:
    packed = COMPRESS[kind](TEXT) + bytes(padding)
    assert unpack(packed) == TEXT
    assert unpack(packed + packed, 1000) == TEXT + TEXT


@every_kind
def test_a_bomb_comes_in_bounded_pieces(kind: str) -> None:
    sizes = [len(piece) for piece in decompress([COMPRESS[kind](bytes(1 << 27))])]
    assert sum(sizes) == 1 << 27
    assert max(sizes) <= 1 << 20


def test_output_that_ends_with_a_full_piece_is_whole() -> None:
    text = bytes(range(256)) * (1 << 13)  # 2 MiB: exactly two pieces
    for pack in COMPRESS.values():
        assert unpack(pack(text)) == text


def test_zip_is_refused_with_advice() -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("a.faa", TEXT)
    with pytest.raises(FastaFormatError, match="zip archive.*unzip"):
        unpack(archive.getvalue(), 1)


def test_errors_of_the_source_are_not_taken_for_damage() -> None:
    def failing() -> Iterator[bytes]:
        yield gzip.compress(TEXT)[:100]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(decompress(failing()))


@settings(deadline=None)
@given(
    start=st.sampled_from([b"", *(pack(b"MKTAYI") for pack in COMPRESS.values())]),
    length=st.integers(0, 30),
    noise=st.binary(max_size=60),
    size=st.integers(1, 20),
)
def test_noise_raises_nothing_else(start: bytes, length: int, noise: bytes, size: int) -> None:
    with suppress(FastaFormatError):
        unpack(start[:length] + noise, size)


def test_deflate_without_a_gzip_header_is_plain() -> None:
    # zlib streams have no reliable magic; the parser refuses them as binary.
    packed = zlib.compress(TEXT)
    assert unpack(packed) == packed


def test_an_xz_header_that_asks_for_gigabytes_is_refused() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 29}]
    packed = lzma.compress(b">a\nMK\n", filters=filters)
    with pytest.raises(FastaFormatError, match="[Mm]emory"):
        list(decompress([packed]))


@pytest.mark.parametrize("size", [1, 3, 99])
def test_a_zstd_frame_shorter_than_it_declares_is_refused_however_it_is_cut(size: int) -> None:
    # Declares 2,486 bytes and holds one empty last block: the library checks only in one shot.
    packed = b"(\xb5/\xfd`\xb6\x08\x01\x00\x00"
    with pytest.raises(FastaFormatError, match="zstd data are damaged"):
        list(decompress(packed[at : at + size] for at in range(0, len(packed), size)))


def raw_zstd(declared: int, *blocks: bytes) -> bytes:
    """A frame of uncompressed blocks without checksum, its last block empty (RFC 8878, 3.1.1)."""
    # 0xA0: content size of four bytes, single segment. A block header is size << 3 | last.
    frame = b"\x28\xb5\x2f\xfd\xa0" + declared.to_bytes(4, "little")
    for block in blocks:
        frame += (len(block) << 3).to_bytes(3, "little") + block
    return frame + (1).to_bytes(3, "little")


def test_a_zstd_frame_that_lost_a_block_is_refused() -> None:
    blocks = [bytes([65 + n]) * 100_000 for n in range(3)]
    whole = raw_zstd(300_000, *blocks)
    assert b"".join(decompress([whole])) == b"".join(blocks)
    with pytest.raises(FastaFormatError, match="zstd data are damaged"):
        list(decompress([raw_zstd(300_000, blocks[0], blocks[2])]))


def zeros(packed: bytes, **limits: int) -> int:
    return sum(map(len, decompress(cut(packed, 1 << 10), **limits)))


@every_kind
def test_a_bomb_is_refused_before_it_has_gone_off(kind: str) -> None:
    packed = COMPRESS[kind](bytes(1 << 24))
    pieces: list[bytes] = []
    with pytest.raises(
        BombError, match=f"^the {kind} data expand to more than 50 times their size: [0-9,]+ bytes"
    ):
        pieces.extend(decompress(cut(packed, 1 << 10), bomb_bytes=1 << 22, bomb_ratio=50))
    assert 0 < sum(map(len, pieces)) <= 1 << 22


@every_kind
def test_a_bomb_of_many_members_is_refused(kind: str) -> None:
    packed = COMPRESS[kind](bytes(1 << 20)) * 8
    with pytest.raises(BombError):
        zeros(packed, bomb_bytes=1 << 22, bomb_ratio=50)


@every_kind
def test_what_expands_much_is_no_bomb_while_it_is_small(kind: str) -> None:
    packed = COMPRESS[kind](bytes(1 << 22))
    assert len(packed) < (1 << 22) // 50
    assert zeros(packed, bomb_bytes=1 << 22, bomb_ratio=50) == 1 << 22


@every_kind
def test_what_is_large_is_no_bomb_while_it_expands_little(kind: str) -> None:
    packed = COMPRESS[kind](TEXT)
    assert len(TEXT) < 50 * len(packed)
    assert zeros(packed * 20, bomb_bytes=1, bomb_ratio=50) == 20 * len(TEXT)


def test_plain_text_is_never_a_bomb() -> None:
    assert zeros(b"\n" * 1000, bomb_bytes=1, bomb_ratio=0) == 1000


def test_the_limits_are_those_that_are_documented() -> None:
    assert (compression.BOMB_BYTES, compression.BOMB_RATIO) == (1 << 30, 500)
