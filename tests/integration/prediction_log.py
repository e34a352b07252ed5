"""A prediction log over a store, driven by hand, and a store in which something happens at any operation."""

import io
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from services.monitor.log.compaction import Compactor
from services.monitor.log.deletions import DeletionRecords
from services.monitor.log.files import Files
from services.monitor.log.layout import LOG, Partition
from services.monitor.log.lookup import LogReader
from services.monitor.log.plan import Target
from services.monitor.log.purge import Purge
from services.monitor.log.shelf import Shelf
from shared.store import Store, Stored
from tests.unit.monitor.logged import DAY

PARTITION = Partition(LOG, "model", DAY)
TARGET = Target(rows=100, bytes=1 << 30)


class Log:
    """What one process does to the log; several may share a store."""

    def __init__(self, store: Store, target: Target = TARGET) -> None:
        self.store = store
        self.counted: Counter[str] = Counter()
        self.files, self.records = Files(store), DeletionRecords(store)
        self.shelf = Shelf(store, self.files, self.records)
        self.purge = Purge(store, self.files, self.records, self.shelf)
        self.compactor = Compactor(store, self.files, self.shelf, target, self.count)
        self.reader = LogReader(store, self.files)

    def count(self, what: str, number: int) -> None:
        self.counted[what] += number

    async def write(self, *tables: pa.Table, partition: Partition = PARTITION) -> None:
        """Write a file of each table."""
        for table in tables:
            await self.shelf.add(partition, [table])

    async def keys(self, partition: Partition = PARTITION) -> list[str]:
        return [stored.key for stored in await self.files.list(partition)]

    async def tables(self, partition: Partition = PARTITION) -> list[pa.Table]:
        return [pq.read_table(io.BytesIO(await self.store.get(key))) for key in await self.keys(partition)]

    async def ids(self, partition: Partition = PARTITION) -> list[str]:
        return sorted(name for table in await self.tables(partition) for name in table["request_id"].to_pylist())


class WatchedStore(Store):
    """A store of which every operation is preceded by something."""

    operations = 0
    before: Callable[[int], Awaitable[None]]
    """Gets the number of the operation, from 0."""

    @classmethod
    def over(cls, directory: Path, before: Callable[[int], Awaitable[None]]) -> "WatchedStore":
        store = cls.open(directory.as_uri())
        assert isinstance(store, cls)
        store.before = before
        return store

    async def put(self, key: str, data: bytes) -> None:
        await self._next()
        await super().put(key, data)

    async def put_new(self, key: str, data: bytes) -> None:
        await self._next()
        await super().put_new(key, data)

    async def get_range(self, key: str, start: int, end: int) -> bytes:
        await self._next()
        return await super().get_range(key, start, end)

    async def found(self, prefix: str) -> AsyncIterator[Stored]:
        await self._next()
        async for each in super().found(prefix):
            yield each

    async def directories(self, prefix: str) -> Any:
        await self._next()
        return await super().directories(prefix)

    async def delete(self, key: str) -> None:
        await self._next()
        await super().delete(key)

    async def _next(self) -> None:
        number, self.operations = self.operations, self.operations + 1
        await self.before(number)
