"""Labelled rows: predictions with what really happened, as Parquet in the store, by the day of the prediction.

Files are never changed. A correction is one more row; of several with one key, the one with the latest `labelled_at`
counts.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from services.monitor.feedback.values import Key, Said
from services.monitor.log.files import Files
from services.monitor.log.layout import LABELS, Partition
from services.monitor.log.rows import check_schema
from services.monitor.log.shelf import Shelf
from shared.store import ObjectNotFound

_KEY = ["request_id", "index", "time", "actual", "labelled_at", "entry"]


@dataclass(frozen=True)
class Label:
    """What a row was labelled with before."""

    time: datetime
    """When it was predicted."""
    actual: float
    at: datetime
    """When the gateway took the label."""
    entry: str
    """Of the inbox."""


class Labels:
    def __init__(self, shelf: Shelf, files: Files) -> None:
        self._shelf = shelf
        self._files = files

    async def add(self, model: str, day: str, rows: pa.Table) -> None:
        """Keep rows of one version and one day."""
        await self._shelf.add(Partition(LABELS, model, day), [rows])

    async def find(
        self, model: str, keys: Collection[Key], day: str, *, since: datetime, but: Collection[Said]
    ) -> Mapping[Key, Label]:
        """Return the latest label of each key that has one.

        Args:
            day: of the predictions.
            since: labels of before are passed over.
            but: what is passed over: labels of these were written, and then not counted.

        Raises:
            SchemaTooNew: a file was written by a newer Tasador.
            FileDamaged: a file cannot be read.
        """
        found: dict[Key, Label] = {}
        try:
            await self._of_day(Partition(LABELS, model, day), keys, since, but, found)
        except ObjectNotFound:  # compacted meanwhile: the rows are in a file that is there now
            await self._of_day(Partition(LABELS, model, day), keys, since, but, found)
        return found

    async def _of_day(
        self,
        partition: Partition,
        keys: Collection[Key],
        since: datetime,
        but: Collection[Said],
        found: dict[Key, Label],
    ) -> None:
        ids = {source for source, _ in keys}
        wanted = pa.array(ids, pa.string())
        for stored in await self._files.list(partition):
            file = await self._files.open(stored)
            check_schema(file.key, file.schema)
            async for rows in self._files.read(file, file.holding(ids), _KEY):
                for row in rows.filter(pc.is_in(rows["request_id"], wanted)).to_pylist():
                    key = (row["request_id"], row["index"])
                    label = Label(row["time"], row["actual"], row["labelled_at"], row["entry"])
                    if key not in keys or label.at < since or (label.entry, key) in but:
                        continue
                    if key not in found or found[key].at < label.at:
                        found[key] = label
