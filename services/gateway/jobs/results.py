"""Reading what a job has produced, part by part, with one part in memory."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from services.gateway.results import Output, Renderer
from shared.artifact import sha256
from shared.chunks import decode_part
from shared.jobs import JobStatus, Part
from shared.records import parts_of
from shared.scripts import JobQueue
from shared.store import ObjectNotFound, Store


class PartInvalid(ValueError):
    """A part in the store is not the one that was committed."""


@dataclass(frozen=True)
class Readable:
    """The rows of a job that can be read now: all of them, or the finished ones before the first gap."""

    parts: Sequence[Part]
    partial: bool

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    @property
    def failed(self) -> int:
        return sum(part.failed for part in self.parts)


class Results:
    def __init__(self, queue: JobQueue, store: Store) -> None:
        self._queue = queue
        self._store = store

    async def readable(self, status: JobStatus) -> Readable:
        parts = await parts_of(self._queue, self._store, status)
        return Readable(parts, partial=sum(part.rows for part in parts) < status.rows)

    async def stream(self, readable: Readable, output: Output, *, errors_only: bool) -> AsyncIterator[bytes]:
        """Yield the document. A part that cannot be read ends it without its end, so that nobody takes it for whole."""
        renderer = await asyncio.to_thread(output.renderer)
        yield renderer.start()
        for part in readable.parts:
            if part.failed or not errors_only:
                yield await asyncio.to_thread(_rendered, renderer, await self._read(part), errors_only)
        yield await asyncio.to_thread(renderer.end)

    async def _read(self, part: Part) -> bytes:
        try:
            data = await self._store.get(part.key)
        except ObjectNotFound as missing:
            raise PartInvalid(str(missing)) from missing
        if sha256(data) != part.sha256:
            raise PartInvalid(f"{part.key} does not have the digest it was committed with")
        return data


def _rendered(renderer: Renderer, data: bytes, errors_only: bool) -> bytes:
    batch = decode_part(data)
    return renderer.batch(batch.filter(batch.column("error_code").is_valid()) if errors_only else batch)
