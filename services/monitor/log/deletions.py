"""Which requests' rows are deleted: objects in the store, for as long as such rows may still arrive."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from services.monitor.log.layout import read_stamp, stamp
from shared.clock import utc_now
from shared.store import Store
from shared.telemetry import get_logger

PREFIX = "log-deletions"
SERVES = timedelta(days=7)
"""How long rows may still come from Redis, or from a monitor that could not write."""
_SKEW = timedelta(minutes=1)
"""By which clocks may differ: rows carry the gateway's time."""

log = get_logger(__name__)


@dataclass(frozen=True)
class Deletions:
    """Requests whose rows must not be kept, and when they were deleted: a later request may have the same id."""

    at: Mapping[str, datetime] = field(default_factory=dict)

    def but(self, others: "Deletions") -> "Deletions":
        """Return those that are not among others."""
        return Deletions({name: at for name, at in self.at.items() if others.at.get(name) != at})

    def hit(self, rows: pa.Table) -> pa.Array | None:
        """Tell of each row whether it is deleted; None when none is."""
        if not self.at or not len(rows):  # pyarrow 25 crashes where a column has no chunk
            return None
        found = pc.indices_nonzero(pc.is_in(rows["request_id"], pa.array(self.at, pa.string())))
        times = rows["time"].take(found).cast(pa.timestamp("us", "UTC"), safe=False).to_pylist()
        names = rows["request_id"].take(found).to_pylist()
        deleted = np.zeros(len(rows), bool)
        deleted[found] = [time <= self.at[name] + _SKEW for name, time in zip(names, times, strict=True)]
        return pa.array(deleted) if deleted.any() else None

    def keep(self, rows: pa.Table) -> pa.Table:
        """Return the rows that are not deleted."""
        deleted = self.hit(rows)
        return rows if deleted is None else rows.filter(pc.invert(deleted))


class DeletionRecords:
    """Deletions in the store. Their names say everything, so that one listing reads them all."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._others: set[str] = set()
        """Objects that are none, and were told of."""

    async def read(self) -> Deletions:
        """Raises OSError when the store is away: without knowing them nobody may write rows."""
        at: dict[str, datetime] = {}
        for _, time, request_id in await self._all():
            at[request_id] = max(time, at.get(request_id, time))
        return Deletions(at)

    async def add(self, request_id: str) -> Deletions:
        """Record a deletion, in place of an earlier one of the same request, and return it."""
        now = read_stamp(stamp(utc_now()))
        key = _key(now, request_id)
        await self._store.put(key, json.dumps({"request_id": request_id, "at": now.isoformat()}).encode())
        for other, time, name in await self._all():
            if name == request_id and time < now:
                await self._store.delete(other)
        return Deletions({request_id: now})

    async def retire(self, now: datetime) -> None:
        """Remove those that have served their time."""
        for key, time, _ in await self._all():
            if time + SERVES <= now:
                await self._store.delete(key)

    async def _all(self) -> list[tuple[str, datetime, str]]:
        """Return key, time and request id of each. What others have put there, as file managers do, is passed over."""
        found = []
        async for key in self._store.list(PREFIX):
            try:
                found.append((key, *_read(key)))
            except ValueError:
                if key not in self._others:
                    log.warning("this is no record of a deletion", key=key)
                self._others.add(key)
        return found


def _key(at: datetime, request_id: str) -> str:
    return f"{PREFIX}/{stamp(at)}.{urlsafe_b64encode(request_id.encode()).decode().rstrip('=')}.json"


def _read(key: str) -> tuple[datetime, str]:
    """Raises ValueError."""
    time, name, _ = key.rsplit("/", 1)[-1].split(".")
    return read_stamp(time), urlsafe_b64decode(name + "=" * (-len(name) % 4)).decode()
