"""Bodies on disk while they are read: nothing of a job's size is ever held in memory.

The files have no name, so that nothing is left behind whatever happens to the process.
"""

import asyncio
import gzip
import hashlib
import os
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from services.gateway.problems import Problem
from services.gateway.tables import NotATable, TableTooLarge
from shared.durable import nameless_file

_PIECE = 1 << 20

CODINGS = ("identity", "gzip", "zstd")
_ALIASES = {"": "identity", "x-gzip": "gzip"}


def spool_file(directory: Path) -> BinaryIO:
    """Return an empty file without a name."""
    directory.mkdir(parents=True, exist_ok=True)
    return nameless_file(directory)


def path_of(file: BinaryIO) -> Path:
    """Return a path under which a nameless file can be opened again."""
    file.flush()
    file.seek(0)
    return Path(f"/dev/fd/{file.fileno()}")


def size_of(file: BinaryIO) -> int:
    file.flush()
    return os.fstat(file.fileno()).st_size


async def receive(stream: AsyncIterator[bytes], file: BinaryIO, limit: int) -> str:
    """Write a body to a file, off the event loop, and return its sha256. Refused as soon as it passes `limit`.

    A piece is written while the next one arrives.
    """
    digest = hashlib.sha256()

    def write(pieces: Sequence[bytes]) -> None:
        for data in pieces:
            digest.update(data)
            file.write(data)

    size, waiting = 0, 0
    pieces: list[bytes] = []
    writing: asyncio.Task[None] | None = None
    try:
        async for data in stream:
            size += len(data)
            if size > limit:
                raise too_large(limit)
            pieces.append(data)
            waiting += len(data)
            if waiting >= _PIECE:
                if writing is not None:
                    await writing
                writing = asyncio.create_task(asyncio.to_thread(write, pieces))
                pieces, waiting = [], 0
    finally:
        if writing is not None:  # nobody may close the file under it
            await asyncio.wait([writing])
    if writing is not None:
        await writing
    await asyncio.to_thread(write, pieces)
    return digest.hexdigest()


async def steady(stream: AsyncIterator[bytes], seconds: float) -> AsyncIterator[bytes]:
    """Yield what a stream does, as long as it does: one that stands still would keep its place for ever.

    Raises:
        Problem: nothing of it arrived for so many seconds.
    """
    pieces = aiter(stream)
    while True:
        try:
            async with asyncio.timeout(seconds):
                data = await anext(pieces, None)
        except TimeoutError:
            raise Problem("body-timeout", f"nothing of the body arrived for {seconds:g} s") from None
        if data is None:
            return
        yield data


def too_large(limit: int) -> Problem:
    return Problem("payload-too-large", f"the body of a job may have up to {limit:,} bytes")


def coding_of(content_encoding: str) -> str:
    """Return one of CODINGS. Raises Problem for any other, and for several at once."""
    name = content_encoding.strip().lower()
    coding = _ALIASES.get(name, name)
    if coding not in CODINGS:
        raise Problem(
            "unsupported-media-type",
            f"Content-Encoding {name[:50]!r} is not read here; use {' or '.join(CODINGS[1:])}",
            headers={"Accept-Encoding": ", ".join(CODINGS[1:])},
        )
    return coding


def decoded(file: BinaryIO, coding: str, limit: int, directory: Path) -> BinaryIO:
    """Return the file decompressed, in another one, at its start; the same one where there is nothing to do.

    Raises:
        NotATable: it is not compressed like that, or not complete.
        TableTooLarge: it is larger than `limit`, decompressed.
    """
    file.seek(0)
    if coding == "identity":
        return file
    plain, size = spool_file(directory), 0
    try:
        for data in _gunzipped(file) if coding == "gzip" else _unzstd(file):
            size += len(data)
            if size > limit:
                raise TableTooLarge(f"decompressed, the body of a job may have up to {limit:,} bytes")
            plain.write(data)
    except BaseException:
        plain.close()
        raise
    plain.seek(0)
    return plain


def _gunzipped(file: BinaryIO) -> Iterator[bytes]:
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as stream:
            while data := stream.read(_PIECE):
                yield data
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise NotATable(f"the body is not complete gzip: {error}") from None


def _unzstd(file: BinaryIO) -> Iterator[bytes]:
    import pyarrow as pa  # noqa: PLC0415 - a third of a second

    try:
        # pyarrow closes what it reads from, so it gets a handle of its own.
        with path_of(file).open("rb") as own, pa.CompressedInputStream(pa.PythonFile(own, mode="r"), "zstd") as stream:
            while data := stream.read(_PIECE):
                yield data
    except OSError as error:
        raise NotATable(f"the body is not complete zstd: {error}") from None
