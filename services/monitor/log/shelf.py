"""Files of rows in the store, into which no deleted row gets.

Whoever writes rows leaves out the deleted ones that he knows of, and looks again when he has written. A deletion that
was recorded in between is found then; one that is recorded later finds the file. So neither has to wait for the other,
and only a writer that dies in between leaves something to the next tidying.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import pyarrow as pa

from services.monitor.log.deletions import DeletionRecords, Deletions
from services.monitor.log.files import Files, LogFile
from services.monitor.log.layout import Partition
from services.monitor.log.rows import to_parquet
from shared.clock import utc_now
from shared.store import ObjectNotFound, Store, Stored

Encode = Callable[[Sequence[pa.Table]], bytes]


def as_they_are(tables: Sequence[pa.Table]) -> bytes:
    return to_parquet(pa.concat_tables(tables))


class Shelf:
    def __init__(self, store: Store, files: Files, records: DeletionRecords) -> None:
        self._store = store
        self._files = files
        self._records = records

    async def add(self, partition: Partition, tables: Sequence[pa.Table], encode: Encode = as_they_are) -> list[str]:
        """Write rows of one schema as a new file; return its key, or none when all rows are deleted ones."""
        before = await self._records.read()
        kept = [before.keep(table) for table in tables]
        if not any(map(len, kept)):
            return []
        data = await asyncio.to_thread(encode, kept)
        key = partition.new_key(utc_now())
        await self._store.put_new(key, data)
        late = (await self._records.read()).but(before)
        if late.at:
            with suppress(ObjectNotFound):  # the deletion has found it already
                await self.take_out(await self._files.open(Stored(key, len(data))), late)
        return [key]

    async def take_out(self, file: LogFile, deletions: Deletions) -> int:
        """Put a file without some rows in its place; return how many they were. Raises ObjectNotFound, FileDamaged."""
        deleted = 0
        async for rows in self._files.read(file, file.holding(deletions.at), ["request_id", "time"]):
            hit = deletions.hit(rows)
            deleted += hit.true_count if hit is not None else 0
        if deleted:
            everything = [table async for table in self._files.read(file, range(len(file.groups)))]
            await self.add(Partition.of(file.key), [deletions.keep(table) for table in everything])
            await self._store.delete(file.key)
        return deleted
