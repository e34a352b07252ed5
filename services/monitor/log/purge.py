"""Takes the rows of deleted requests out of the log, and out of what was labelled of it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from services.monitor.log.deletions import DeletionRecords, Deletions
from services.monitor.log.files import FileDamaged, Files
from services.monitor.log.layout import LABELS, LOG, Partition, days_of
from services.monitor.log.shelf import Shelf
from shared.store import ObjectNotFound, Store
from shared.telemetry import get_logger

log = get_logger(__name__)


@dataclass(frozen=True)
class Purged:
    """What was found and is gone; what arrives later is left out when it is written."""

    rows: int = 0
    labelled_rows: int = 0
    files: int = 0
    """That were written anew, or removed."""
    unreadable: tuple[str, ...] = ()
    """Files that may hold rows still."""


class Purge:
    def __init__(self, store: Store, files: Files, records: DeletionRecords, shelf: Shelf) -> None:
        self._store = store
        self._files = files
        self._records = records
        self._shelf = shelf
        self._looked_for = Deletions()
        self._clean: set[str] = set()
        """Files in which none of those was found: files never change."""

    async def delete(self, request_id: str) -> Purged:
        """Delete all rows of a request that were answered until now, for good. Repeating it does no harm."""
        deletion = await self._records.add(request_id)
        found = await self._purge(deletion, deletion, set())
        log.info("deleted the rows of a request", rows=found.rows, labelled_rows=found.labelled_rows)
        return found

    async def again(self) -> Purged:
        """Look for rows of deleted requests once more: somebody may have died after he had written some."""
        deletions, clean = await self._records.read(), set[str]()
        found = await self._purge(deletions, deletions.but(self._looked_for), clean) if deletions.at else Purged()
        self._looked_for, self._clean = deletions, clean
        return found

    async def _purge(self, deletions: Deletions, new: Deletions, clean: set[str]) -> Purged:
        """Look for `new` ones where no others were found the last time, and for all elsewhere."""
        rows, files, unreadable = {LOG: 0, LABELS: 0}, 0, []
        async for partition in self._partitions():
            for stored in await self._files.list(partition):
                wanted = new if stored.key in self._clean else deletions
                try:
                    deleted = await self._shelf.take_out(await self._files.open(stored), wanted) if wanted.at else 0
                except ObjectNotFound:
                    continue  # whoever replaced it has looked
                except FileDamaged as damaged:
                    log.error("cannot look for rows of deleted requests", reason=str(damaged))
                    unreadable.append(stored.key)
                    continue
                if deleted:
                    rows[partition.root] += deleted
                    files += 1
                else:
                    clean.add(stored.key)
        return Purged(rows[LOG], rows[LABELS], files, tuple(unreadable))

    async def _partitions(self) -> AsyncIterator[Partition]:
        for root in (LOG, LABELS):
            for model in await self._store.directories(root):
                for day in days_of(await self._store.directories(f"{root}/{model}")):
                    yield Partition(root, model, day)
