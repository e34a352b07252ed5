"""The parts of a submission that need no server: chunks, spooled bodies, tags."""

import asyncio
import gzip
import os
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.jobs.chunked import write_chunks
from services.gateway.jobs.progress import matches
from services.gateway.jobs.spool import coding_of, decoded, path_of, receive, spool_file, steady
from services.gateway.problems import Problem
from services.gateway.tables import Block, EmptyTable, NotATable, TableTooLarge
from shared.chunks import decode_chunk
from shared.signature import FieldError


def a_block(start: int, rows: int, bad: set[int]) -> Block:
    x = np.arange(start, start + rows, dtype=float).reshape(-1, 1) @ np.ones((1, 2))
    errors = [(row - start, FieldError("f", "null", str(row))) for row in range(start, start + rows) if row in bad]
    return Block(x, errors)


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 12), st.sets(st.integers(0, 100), max_size=20))
def test_chunks_hold_the_rows_of_the_blocks_in_order(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], chunk_rows: int, bad: set[int]
) -> None:
    starts = np.cumsum([0, *sizes]).tolist()
    rows = starts[-1]
    blocks = [a_block(start, size, bad) for start, size in zip(starts, sizes, strict=False)]
    with spool_file(tmp_path_factory.getbasetemp()) as file:
        if not rows:
            with pytest.raises(EmptyTable):
                write_chunks(blocks, file, chunk_rows=chunk_rows, max_rows=1000)
            return
        chunked = write_chunks(blocks, file, chunk_rows=chunk_rows, max_rows=rows)
        data = path_of(file).read_bytes()
    chunks = [decode_chunk(data[a:b]) for a, b in zip(chunked.offsets, chunked.offsets[1:], strict=False)]
    assert chunked.rows == rows
    assert [len(chunk.x) for chunk in chunks[:-1]] == [chunk_rows] * (len(chunks) - 1)
    assert [chunk.start for chunk in chunks] == [i * chunk_rows for i in range(len(chunks))]
    assert np.concatenate([chunk.x for chunk in chunks])[:, 0].tolist() == list(range(rows))
    found = [error.index for chunk in chunks for error in chunk.errors]
    assert found == sorted(row for row in bad if row < rows)
    assert all(c.start <= e.index < c.start + c.rows for c in chunks for e in c.errors)


def test_errors_may_quote_what_utf8_cannot_say(tmp_path: Path) -> None:
    block = Block(np.zeros((1, 2)), [(0, FieldError("f", "wrong_type", "expected a number, got \ud800"))])
    with spool_file(tmp_path) as file:
        write_chunks([block], file, chunk_rows=4, max_rows=10)
        assert decode_chunk(path_of(file).read_bytes()).errors[0].detail == "expected a number, got ?"


def test_too_many_rows_are_noticed_on_the_way(tmp_path: Path) -> None:
    with spool_file(tmp_path) as file, pytest.raises(TableTooLarge, match="10 rows"):
        write_chunks((a_block(0, 6, set()) for _ in range(1000)), file, chunk_rows=4, max_rows=10)


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


async def test_a_body_is_spooled_and_leaves_no_file(tmp_path: Path) -> None:
    with spool_file(tmp_path) as file:
        digest = await receive(pieces(b"a" * 700_000, b"", b"b" * 700_000, b"c"), file, 1_400_001)
        assert path_of(file).read_bytes() == b"a" * 700_000 + b"b" * 700_000 + b"c"
        assert digest == sha256(path_of(file).read_bytes()).hexdigest()
        assert os.listdir(tmp_path) == []


async def test_a_body_over_the_limit_is_refused_on_the_way(tmp_path: Path) -> None:
    with spool_file(tmp_path) as file, pytest.raises(Problem, match="10 bytes"):
        await receive(pieces(b"a" * 6, b"a" * 6), file, 10)


async def test_a_body_that_stands_still_is_refused(tmp_path: Path) -> None:
    async def stalls() -> AsyncIterator[bytes]:
        yield b"a"
        await asyncio.Event().wait()

    with spool_file(tmp_path) as file, pytest.raises(Problem, match="nothing of the body arrived"):
        await receive(steady(stalls(), 0.01), file, 10)


@pytest.mark.parametrize("level", [1, 9])
def test_compressed_bodies_are_bounded_and_checked(tmp_path: Path, level: int) -> None:
    plain = bytes(range(256)) * 20_000
    for coding, data in (
        ("gzip", gzip.compress(plain, level)),
        ("zstd", pa.Codec("zstd", compression_level=level).compress(plain).to_pybytes()),
    ):
        with spool_file(tmp_path) as file:
            file.write(data)
            with decoded(file, coding, len(plain), tmp_path) as found:
                assert found.read() == plain
            with pytest.raises(TableTooLarge):
                decoded(file, coding, len(plain) - 1, tmp_path)
            file.truncate(len(data) - 5)
            with pytest.raises(NotATable, match=coding):
                decoded(file, coding, len(plain), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("header", "coding"), [("", "identity"), ("GZIP", "gzip"), ("x-gzip", "gzip"), ("zstd", "zstd")]
)
def test_content_encodings(header: str, coding: str) -> None:
    assert coding_of(header) == coding


@pytest.mark.parametrize("header", ["br", "gzip, gzip", "deflate"])
def test_other_content_encodings_are_refused(header: str) -> None:
    with pytest.raises(Problem, match="gzip or zstd") as refused:
        coding_of(header)
    assert refused.value.headers == {"Accept-Encoding": "gzip, zstd"}


def test_tags_are_compared_weakly() -> None:
    assert matches('W/"a"', '"a"')
    assert matches('"b", "a"', 'W/"a"')
    assert matches("*", 'W/"a"')
    assert not matches('"b"', 'W/"a"')
