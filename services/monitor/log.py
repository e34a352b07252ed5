"""The prediction log: every single and batch prediction as Parquet in the store.

`log/<model>/date=<day>/<time>-<replica>-<n>.parquet`. An entry is acknowledged after its rows are durable, so rows are
logged at least once: (request_id, index) is the key of a row.
"""

import asyncio
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count, islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.monitor.entries import Entry, check_name, read_event
from services.monitor.fold import InvalidEvent, check_columns, encoded_rows
from services.monitor.versions import Version, Versions, VersionUnknown
from shared.clock import utc_now
from shared.events import PredictionsLogged
from shared.signature import Feature, Signature
from shared.store import Store
from shared.telemetry import get_logger

SCHEMA_VERSION = "1"
COLUMNS = ("time", "request_id", "index", "mode", "model_version", "prediction", "latency")
UNKNOWN = "<unknown>"
"""Logged for a category that training has not seen: the event carries only that it was unknown."""

FINISHED_KNOWN = 10_000  # entries

Count = Callable[[str, int], None]
"""Told of an outcome and how many rows or files."""

log = get_logger(__name__)


def column_names(signature: Signature) -> list[str]:
    """Return the column of each feature: its name, or `feature.<name>` where one of `COLUMNS` has that name."""
    return [f"feature.{name}" if name in COLUMNS else name for name in signature.names]


def to_table(event: PredictionsLogged, signature: Signature) -> pa.Table:
    """Return the rows of an event. Raises InvalidEvent when it does not fit the signature."""
    check_columns(event)
    x = encoded_rows(event, signature)
    day = 86_400.0
    if any(not 0 <= t < 100_000 * day for t in event.time):  # up to the year 2243
        raise InvalidEvent("a time is out of range")
    columns: dict[str, Any] = {
        "time": pa.array([round(t * 1e6) for t in event.time], pa.timestamp("us", "UTC")),
        "request_id": pa.array(event.request_id, pa.string()),
        "index": pa.array(event.index, pa.int64()),
        "mode": pa.array(event.mode, pa.string()),
        "model_version": pa.array([event.model_version] * event.rows, pa.string()),
        "prediction": pa.array(event.prediction, pa.float64()),
        "latency": pa.array(event.latency, pa.float64()),
    }
    for i, (name, feature) in enumerate(zip(column_names(signature), signature.features, strict=True)):
        columns[name] = _values(feature, x[:, i])
    return pa.table(columns).replace_schema_metadata({"tasador.schema": SCHEMA_VERSION})


def _values(feature: Feature, values: Any) -> pa.Array:
    null = np.isnan(values)
    if feature.kind == "numeric":
        return pa.array(values, pa.float64(), mask=null)
    texts = np.array([*feature.categories, UNKNOWN], object)
    codes = np.where(null | (values < 0) | (values >= len(feature.categories)), len(feature.categories), values)
    return pa.array(texts[codes.astype(np.int64)], pa.string(), mask=null)


def by_day(table: pa.Table) -> Iterable[tuple[str, pa.Table]]:
    """Split rows by the day (UTC) on which they were answered."""
    days = pc.strftime(table["time"], "%Y-%m-%d")
    for day in pc.unique(days).to_pylist():
        yield day, table.filter(pc.equal(days, day))


def to_parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


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
        store: Store,
        versions: Versions,
        *,
        stream: str,
        group: str,
        replica: str,
        flush_seconds: float,
        flush_rows: int,
        buffer_rows: int,
        counted: Count,
    ) -> None:
        self._redis = redis
        self._store = store
        self._versions = versions
        self._stream = stream
        self._group = group
        self._replica = replica
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
        self._number = count()

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
                for day, rows in by_day(table):
                    data = await asyncio.to_thread(to_parquet, rows)
                    await self._store.put_new(self._key(model, day), data)
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

    def _key(self, model: str, day: str) -> str:
        now = utc_now().astimezone(UTC)
        return f"log/{model}/date={day}/{_stamp(now)}-{self._replica}-{next(self._number):06d}.parquet"


def _stamp(time: datetime) -> str:
    return time.strftime("%Y%m%dT%H%M%S%fZ")
