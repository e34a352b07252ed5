"""Writes what gateways answered to the prediction log.

An entry is acknowledged after its rows are durable, so rows are logged at least once: (request_id, index) is the key of
a row.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice

import pyarrow as pa
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.monitor.entries import Entry, check_name, read_event
from services.monitor.fold import InvalidEvent
from services.monitor.log.layout import LOG, Partition
from services.monitor.log.rows import by_day, to_table
from services.monitor.log.shelf import Shelf
from services.monitor.versions import Version, Versions, VersionUnknown
from shared.events import PredictionsLogged
from shared.telemetry import get_logger

FINISHED_KNOWN = 10_000  # entries

Count = Callable[[str, int], None]
"""Told of an outcome and how many rows or files."""

log = get_logger(__name__)


@dataclass
class _Waiting:
    """Rows in memory whose entries are not acknowledged."""

    ids: list[str] = field(default_factory=list)
    tables: dict[tuple[str, str], list[pa.Table]] = field(default_factory=dict)
    """By model and version: versions may have different columns."""
    rows: int = 0

    def add(self, entry: Entry, version: Version, table: pa.Table) -> None:
        self.ids.append(entry.id)
        self.tables.setdefault((version.model, version.version), []).append(table)
        self.rows += len(table)


class PredictionLog:
    """Collects logged predictions and writes them to the store.

    Args:
        flush_rows: written when this many rows wait.
        buffer_rows: `add` waits while more are in memory, because the store is away.
    """

    def __init__(
        self,
        redis: Redis,
        shelf: Shelf,
        versions: Versions,
        *,
        stream: str,
        group: str,
        flush_seconds: float,
        flush_rows: int,
        buffer_rows: int,
        counted: Count,
    ) -> None:
        self._redis = redis
        self._shelf = shelf
        self._versions = versions
        self._stream = stream
        self._group = group
        self._seconds = flush_seconds
        self._flush_rows = flush_rows
        self._buffer_rows = buffer_rows
        self._counted = counted
        self._waiting = _Waiting()
        self._durable: list[str] = []  # written, and not yet acknowledged
        self._held: set[str] = set()  # all entries that are ours to finish: reclaim must not bring them again
        # Acknowledged lately: a reclaim that was answered before may bring them still.
        self._finished: dict[str, None] = {}
        self._full, self._written = asyncio.Event(), asyncio.Event()
        self._flushing = asyncio.Lock()

    async def on_predictions_logged(self, entries: Sequence[Entry]) -> None:
        """Take entries; they are written and acknowledged later. Waits while the buffer is full."""
        new = [entry for entry in entries if entry.id not in self._held and entry.id not in self._finished]
        self._held.update(entry.id for entry in new)
        for entry in new:
            while self._waiting.rows >= self._buffer_rows:
                self._written.clear()
                self._full.set()
                await self._written.wait()
            await self._add(entry)
        if self._waiting.rows >= self._flush_rows:
            self._full.set()

    async def run(self) -> None:
        """Write every few seconds, or as soon as enough rows wait."""
        while True:
            try:
                await asyncio.wait_for(self._full.wait(), self._seconds)
            except TimeoutError:
                pass
            else:
                self._full.clear()
            if not await self.flush():
                await asyncio.sleep(min(self._seconds, 1.0))  # not at once again

    async def flush(self) -> bool:
        """Write what waits, then acknowledge it; False when the store or Redis is away, and it must be repeated."""
        async with self._flushing:
            written = await self._write()
            return await self._acknowledge() and written

    async def _add(self, entry: Entry) -> None:
        try:
            event = await asyncio.to_thread(read_event, PredictionsLogged, entry)
            check_name(event.model_name, event.model_version)
            version = await self._versions.get(event.model_name, event.model_version)
            table = await asyncio.to_thread(to_table, event, version.signature)
        except VersionUnknown as unknown:
            if unknown.hopeless:
                self._give_up(entry, str(unknown))
            else:
                self._held.discard(entry.id)
        except InvalidEvent as invalid:
            self._give_up(entry, str(invalid))
        except Exception:  # ours: but one entry must not hold up those behind it for ever
            log.exception("cannot log an event", entry=entry.id)
            self._give_up(entry, "internal error")
        else:
            self._waiting.add(entry, version, table)

    def _give_up(self, entry: Entry, reason: str) -> None:
        log.error("predictions not logged", entry=entry.id, reason=reason)
        self._counted("entries_refused", 1)
        self._durable.append(entry.id)

    async def _write(self) -> bool:
        waiting, self._waiting = self._waiting, _Waiting()
        try:
            for (model, _), tables in waiting.tables.items():
                table = await asyncio.to_thread(pa.concat_tables, tables)
                for day, rows in await asyncio.to_thread(by_day, table):
                    await self._shelf.add(Partition(LOG, model, day), [rows])
                    self._counted("rows_written", len(rows))
                    self._counted("files_written", 1)
        except Exception as error:  # each store has its own errors for being away
            log.error("cannot write the prediction log; trying again", error=str(error), rows=waiting.rows)
            self._put_back(waiting)
            return False
        except asyncio.CancelledError:  # stopping: the last flush writes it
            self._put_back(waiting)
            raise
        self._durable += waiting.ids
        self._written.set()
        return True

    def _put_back(self, waiting: _Waiting) -> None:
        """Nothing of it is acknowledged; a file that was written before the error will be written again."""
        waiting.ids += self._waiting.ids
        for key, tables in self._waiting.tables.items():
            waiting.tables.setdefault(key, []).extend(tables)
        waiting.rows += self._waiting.rows
        self._waiting = waiting

    async def _acknowledge(self) -> bool:
        """Acknowledge durable entries. Whoever took one over meanwhile writes it again: at least once."""
        ids = list(self._durable)
        if not ids:
            return True
        try:
            await self._redis.xack(self._stream, self._group, *ids)
        except (RedisError, OSError) as error:
            log.warning("cannot acknowledge the prediction log", error=str(error))
            return False
        del self._durable[: len(ids)]
        self._held.difference_update(ids)
        self._finished.update(dict.fromkeys(ids))
        for oldest in list(islice(self._finished, max(0, len(self._finished) - FINISHED_KNOWN))):
            del self._finished[oldest]
        return True
