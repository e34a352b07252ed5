"""Reading what a job has produced, part by part: one is told while the next one is read."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from itertools import zip_longest
from typing import Any

from services.gateway.jobs.manifest import Manifest
from services.gateway.jobs.selection import Readable, Selection, Slice, Wanted, select
from services.gateway.rendering import Renderer
from services.gateway.results import Output
from shared.artifact import sha256
from shared.chunks import decode_part, part_schema
from shared.jobs import JobStatus, Part
from shared.records import parts_of, read_spec
from shared.scripts import JobQueue
from shared.store import ObjectNotFound, Store
from shared.tasks import end

# Part of every tag: raise it when the same parts are told in other bytes. Arrow's own version is part of it, too.
_RENDERING = "2"


class PartInvalid(ValueError):
    """A part in the store is not the one that was committed."""


class Results:
    def __init__(self, queue: JobQueue, store: Store) -> None:
        self._queue = queue
        self._store = store

    async def readable(self, status: JobStatus) -> Readable:
        return Readable(status, await parts_of(self._queue, self._store, status))

    async def select(self, readable: Readable, wanted: Wanted) -> Selection:
        """Raises PartInvalid: a part that is cut cannot be read."""
        return await select(readable, wanted, self._error_rows)

    async def stream(
        self, readable: Readable, selection: Selection, output: Output, *, errors_only: bool
    ) -> AsyncIterator[bytes]:
        """Yield the document. A part that cannot be read ends it without its end, so that nobody takes it for whole."""
        schema = await self._schema(readable, selection)
        renderer = await asyncio.to_thread(output.renderer, schema)
        yield renderer.start()
        async with aclosing(self._ahead(selection.slices)) as parts:
            async for piece, data in parts:
                yield await asyncio.to_thread(_rendered, renderer, piece, data, errors_only)
        yield await asyncio.to_thread(renderer.end)

    async def manifest(self, readable: Readable) -> Manifest:
        """Describe the parts that can be read now."""
        spec = await read_spec(self._store, readable.status.id)
        return Manifest.of(readable, spec.model_digest)

    async def _schema(self, readable: Readable, selection: Selection) -> Any:
        """Return the schema of a job's parts; columns that pass through are text until there is a part to tell."""
        names = readable.status.passthrough
        if not names:
            return part_schema()
        if readable.parts:
            part = selection.slices[0].part if selection.slices else readable.parts[0]
            return decode_part(await self._read(part)).schema
        import pyarrow as pa  # noqa: PLC0415 - a third of a second

        return pa.schema([*part_schema(), *((name, pa.string()) for name in names)])

    async def _ahead(self, slices: Sequence[Slice]) -> AsyncGenerator[tuple[Slice, bytes]]:
        """Yield the parts of the slices, and read the next one meanwhile."""
        reading: list[asyncio.Task[bytes]] = [asyncio.create_task(self._read(piece.part)) for piece in slices[:1]]
        try:
            for piece, following in zip_longest(slices, slices[1:]):
                data = await reading.pop()
                if following is not None:
                    reading.append(asyncio.create_task(self._read(following.part)))
                yield piece, data
        finally:
            await end(reading)

    async def _error_rows(self, part: Part) -> Sequence[int]:
        batch = await asyncio.to_thread(decode_part, await self._read(part))
        rows: list[int] = _in_error(batch).column("index").to_pylist()
        return rows

    async def _read(self, part: Part) -> bytes:
        try:
            data = await self._store.get(part.key)
        except ObjectNotFound as missing:
            raise PartInvalid(str(missing)) from missing
        if await asyncio.to_thread(sha256, data) != part.sha256:
            raise PartInvalid(f"{part.key} does not have the digest it was committed with")
        return data


def etag(readable: Readable, selection: Selection, output: Output, wanted: Wanted) -> str:
    """Return a strong tag: the same parts are told in the same bytes.

    A document without records has the types of its columns from the first part, once there is one.
    """
    import pyarrow as pa  # noqa: PLC0415

    typed = bool(readable.parts)
    digest = hashlib.sha256(f"{_RENDERING} {pa.__version__} {output.media_type} {wanted} {typed}".encode())
    for piece in selection.slices:
        digest.update(f" {piece.part.sha256} {piece.start} {piece.rows}".encode())
    return f'"{digest.hexdigest()[:32]}"'


def _rendered(renderer: Renderer, piece: Slice, data: bytes, errors_only: bool) -> bytes:
    batch = decode_part(data)
    wanted = _in_error(batch) if errors_only else batch
    return renderer.batch(wanted.slice(piece.start, piece.rows))


def _in_error(batch: Any) -> Any:
    return batch.filter(batch.column("error_code").is_valid())
