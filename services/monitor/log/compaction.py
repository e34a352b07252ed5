"""Makes few large files of the many small ones of a partition.

New files are written before the old ones are removed, so that a crash in between leaves rows twice: the merge that
closes the day removes them. Readers, too, may meanwhile see them twice, and never miss one.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial

import pyarrow as pa

from services.monitor.log.files import FileDamaged, Files, LogFile
from services.monitor.log.layout import LABELS, Partition
from services.monitor.log.merge import LABELLED_ROW, ROW, merged, within
from services.monitor.log.plan import Merge, Target, plan
from services.monitor.log.rows import SchemaTooNew, check_schema
from services.monitor.log.shelf import Shelf
from shared.store import ObjectNotFound, Store
from shared.telemetry import get_logger

log = get_logger(__name__)


class Compactor:
    """Several may work on one partition, which is a waste, and leaves rows twice; a lease keeps them from it."""

    def __init__(
        self, store: Store, files: Files, shelf: Shelf, target: Target, counted: Callable[[str, int], None]
    ) -> None:
        self._store = store
        self._files = files
        self._shelf = shelf
        self._target = target
        self._counted = counted
        self._damaged: set[str] = set()
        """Files of which the footer can be read, and the rows not."""

    async def compact(self, partition: Partition, *, closed: bool) -> bool:
        """Merge what is worth it; return whether anything was."""
        merges = plan(await self._readable(partition), self._target, closed=closed)
        for merge in merges:
            try:
                await self._merge(partition, merge)
            except ObjectNotFound:  # a deletion has replaced it: the next time with the new one
                log.info("cannot compact the prediction log now", partition=partition.prefix)
            except FileDamaged as damaged:
                log.error("a file of the prediction log is not compacted", reason=str(damaged))
                self._damaged.add(damaged.key)
        return bool(merges)

    async def _readable(self, partition: Partition) -> list[LogFile]:
        """Return the files that can be merged. Others are left as they are."""
        found = []
        for stored in await self._files.list(partition):
            try:
                file = await self._files.open(stored)
                check_schema(file.key, file.schema)
            except ObjectNotFound:
                continue
            except (FileDamaged, SchemaTooNew) as reason:
                log.warning("a file of the prediction log is not compacted", reason=str(reason))
                continue
            if file.key not in self._damaged:
                found.append(file)
        return found

    async def _merge(self, partition: Partition, merge: Merge) -> None:
        written: list[str] = []
        encode = partial(merged, row=LABELLED_ROW if partition.root == LABELS else ROW)
        try:
            for low, high in merge.ranges:
                tables = [table async for table in self._between(merge, low, high)]
                if tables:
                    written += await self._shelf.add(partition, tables, encode)
        except BaseException:
            await self._remove(written)  # the sources are all there
            raise
        await self._remove([source.key for source in merge.sources])
        self._counted("files_compacted", len(merge.sources))
        log.info("compacted", partition=partition.prefix, files=len(merge.sources), into=len(written))

    async def _between(self, merge: Merge, low: str, high: str | None) -> AsyncIterator[pa.Table]:
        for source in merge.sources:
            groups = [i for i, group in enumerate(source.groups) if group.may_hold(low, high)]
            async for rows in self._files.read(source, groups):
                yield await asyncio.to_thread(within, rows, low, high) if merge.bounds else rows

    async def _remove(self, keys: Iterable[str]) -> None:
        for key in keys:
            await self._store.delete(key)
