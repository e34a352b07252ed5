"""Finding rows of the log by request id and index, as a join with what comes later needs it."""

import asyncio
from collections.abc import Collection, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from services.monitor.log.files import FileDamaged, Files
from services.monitor.log.layout import LOG, Partition, days_of
from services.monitor.log.rows import FIXED, SchemaTooNew, check_schema
from shared.store import ObjectNotFound, Store
from shared.telemetry import get_logger

Key = tuple[str, int]
"""Request id, and index in the request."""

log = get_logger(__name__)


class LogReader:
    """Reads the row groups that may hold what is wanted, a few megabytes at a time; memory holds what is found."""

    def __init__(self, store: Store, files: Files) -> None:
        self._store = store
        self._files = files

    async def days(self, model: str) -> list[str]:
        """Return the days (UTC) on which a model has logged, the newest first."""
        return days_of(await self._store.directories(f"{LOG}/{model}"))

    async def find(self, model: str, keys: Collection[Key], days: Sequence[str] | None = None) -> pa.Table:
        """Return one row for each key that is found, in no order.

        Of a key with several rows, as a caller makes it who repeats an `X-Request-Id`, it is the latest one of the
        first of the days. Versions may differ in their columns: a row has null where its version has none, and a column
        that is a number in one version and text in another is text.

        A file that is damaged, or of a newer schema, is passed over: what it holds is not found.

        Args:
            days: where to look, in this order, until all are found; default all, the newest first.
        """
        left, found = set(keys), list[pa.Table]()
        for day in await self.days(model) if days is None else days:
            if not left:
                break
            rows = unified(await self._of_day(Partition(LOG, model, day), left))
            found.append(await asyncio.to_thread(_latest, rows))
            left -= set(_keys(found[-1]))
        return unified(found)

    async def _of_day(self, partition: Partition, keys: Collection[Key]) -> list[pa.Table]:
        try:
            return await self._rows(partition, keys)
        except ObjectNotFound:  # compacted meanwhile: the rows are in a file that is there now
            return await self._rows(partition, keys)

    async def _rows(self, partition: Partition, keys: Collection[Key]) -> list[pa.Table]:
        found: list[pa.Table] = []
        ids = {request_id for request_id, _ in keys}
        wanted = pa.array(ids, pa.string())
        for stored in await self._files.list(partition):
            try:
                file = await self._files.open(stored)
                check_schema(file.key, file.schema)
                async for rows in self._files.read(file, file.holding(ids)):
                    found.append(await asyncio.to_thread(_chosen, rows, wanted, keys))
            except (FileDamaged, SchemaTooNew) as error:
                log.error("predictions are not looked for in a file", reason=str(error))
        return [rows for rows in found if len(rows)]


def unified(tables: Sequence[pa.Table]) -> pa.Table:
    """Put tables of different columns into one; where the types of a column differ, it is text."""
    if not tables:
        return FIXED.empty_table()
    types: dict[str, set[pa.DataType]] = {}
    for table in tables:
        for field in table.schema:
            types.setdefault(field.name, set()).add(field.type)
    mixed = {name for name, found in types.items() if len(found) > 1}
    return pa.concat_tables([_as_text(table, mixed) for table in tables], promote_options="default")


def _as_text(table: pa.Table, names: Collection[str]) -> pa.Table:
    fields = [field.with_type(pa.string()) if field.name in names else field for field in table.schema]
    return table.cast(pa.schema(fields, table.schema.metadata))


def _chosen(rows: pa.Table, ids: pa.Array, keys: Collection[Key]) -> pa.Table:
    candidates = rows.filter(pc.is_in(rows["request_id"], ids))
    return candidates.filter(pa.array([key in keys for key in _keys(candidates)], pa.bool_()))


def _latest(rows: pa.Table) -> pa.Table:
    """Keep the latest row of each key."""
    if not len(rows):
        return rows
    by_time = rows.sort_by("time")
    latest = {key: position for position, key in enumerate(_keys(by_time))}
    return by_time.take(list(latest.values()))


def _keys(rows: pa.Table) -> list[Key]:
    return list(zip(rows["request_id"].to_pylist(), rows["index"].to_pylist(), strict=True))
