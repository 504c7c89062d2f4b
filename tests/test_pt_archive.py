"""Tests of the zip archive."""

from __future__ import annotations

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.output import pt_archive
from transforms.output.pt_archive import Archive

Records = dict[str, list[bytes]]
records = st.dictionaries(
    st.text("abc/.", min_size=1, max_size=9), st.lists(st.binary(max_size=99), max_size=3)
)


class Pipe(io.RawIOBase):
    """A handle that cannot seek."""

    def __init__(self) -> None:
        self.written = b""

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:
        self.written += bytes(data)
        return len(data)


def write(content: Records) -> bytes:
    pipe = Pipe()
    archive = Archive(pipe)
    for name, chunks in content.items():
        archive.add(name, chunks)
    archive.close()
    return pipe.written


def write_by_zipfile(content: Records) -> bytes:
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as archive:
        for name, chunks in content.items():
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as record:
                record.writelines(chunks)
    return pipe.written


@given(records)
def test_it_is_what_zipfile_writes(content: Records) -> None:
    assert write(content) == write_by_zipfile(content)


@given(records, st.integers(0, 600))
def test_beyond_the_limit_of_32_bits_too(content: Records, limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pt_archive, "_ZIP64_LIMIT", limit)
        patch.setattr(zipfile, "ZIP64_LIMIT", limit)
        assert write(content) == write_by_zipfile(content)


def test_zipfile_reads_it() -> None:
    with zipfile.ZipFile(io.BytesIO(write({"a": [b"x", b"", b"yz"], "b/c": []}))) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == {
            "a": b"xyz",
            "b/c": b"",
        }
