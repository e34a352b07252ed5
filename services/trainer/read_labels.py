"""Reads the rows whose actual values were reported.

The monitor writes them, `labels/<model>/date=<day of the prediction>/….parquet`. Of several rows with one key (request
id and index) the one that was reported last counts; they lie in the same day, which is the prediction's.
"""

import io
from collections import Counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from services.trainer.labels import KEY, OWN_COLUMNS, Labels, micros, to_rows
from shared import artifact
from shared.artifact import ArtifactInvalid
from shared.keys import labels_prefix
from shared.signature import Signature
from shared.store import ObjectNotFound, Store

_ATTEMPTS = 3  # at a day whose files are merged while they are read


async def read_labels(store: Store, model: str, target: str, limit: int) -> Labels:
    """Read the newest `limit` labelled rows of all versions that predict `target`."""
    labels, newest = Labels(), _Newest(limit)
    prefix = labels_prefix(model)
    for day in sorted(await store.directories(prefix), reverse=True):
        for rows in (await _read_day(store, f"{prefix}/{day}", limit, labels.left_out)).values():
            newest.add(rows)
        if sum(map(len, newest.tables().values())) >= limit:
            break
    for version, table in sorted(newest.tables().items()):
        signature = await _signature(store, model, version)
        if signature is None:
            labels.left_out[f"version {version}, which predicted them, is not in the store any more"] += len(table)
        elif signature.target.name != target:
            labels.left_out[f"version {version} predicted {signature.target.name!r}"] += len(table)
        else:
            labels.groups.append(to_rows(table, signature, labels.left_out))
    return labels


async def _read_day(store: Store, prefix: str, limit: int, left_out: Counter[str]) -> dict[str, pa.Table]:
    for attempt in range(1, _ATTEMPTS + 1):
        found, unreadable = _Newest(limit), 0
        try:
            for key in sorted([key async for key in store.list(prefix) if key.endswith(".parquet")]):
                data = await store.get(key)
                try:
                    found.add(pq.read_table(io.BytesIO(data)))
                except (pa.ArrowException, KeyError):
                    unreadable += 1
        except ObjectNotFound:  # merged into another file since it was listed
            if attempt == _ATTEMPTS:
                raise
            continue
        if unreadable:
            left_out[f"files of {prefix} cannot be read"] += unreadable
        break
    return found.tables()


async def _signature(store: Store, model: str, version: str) -> Signature | None:
    try:
        _, digest = await artifact.fetch_manifest(store, model, version)
        return await artifact.fetch_signature(store, model, version, digest)
    except (ObjectNotFound, ValidationError, ArtifactInvalid):
        return None


class _Newest:
    """Holds the newest rows, by version, as versions may have different columns.

    At most about twice `limit` are in memory, and a file.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: dict[str, list[pa.Table]] = {}
        self._rows = 0

    def add(self, table: pa.Table) -> None:
        """Take the rows of a file. Raises KeyError, or what Arrow raises, when it is not one of labelled rows."""
        missing = (OWN_COLUMNS - {"prediction", "mode", "latency", "entry"}).difference(table.column_names)
        if missing:
            raise KeyError(*missing)
        for version in pc.unique(table["model_version"]).to_pylist():
            rows = table.filter(pc.equal(table["model_version"], version))
            self._waiting.setdefault(version, []).append(rows)
        self._rows += len(table)
        if self._rows > 2 * self._limit:
            self.tables()

    def tables(self) -> dict[str, pa.Table]:
        """Return the newest rows, of each key the one reported last."""
        found = {v: _last_reported(pa.concat_tables(t, promote_options="permissive")) for v, t in self._waiting.items()}
        found = _newest(found, self._limit)
        self._waiting = {version: [table] for version, table in found.items()}
        self._rows = sum(map(len, found.values()))
        return found


def _newest(tables: dict[str, pa.Table], limit: int) -> dict[str, pa.Table]:
    """Leave out the oldest; of those predicted at one moment, as a job's are, a hash of the key picks."""
    if not tables or sum(map(len, tables.values())) <= limit:
        return tables
    times = np.concatenate([micros(table["time"]) for table in tables.values()])
    hashes = np.concatenate([pd.util.hash_pandas_object(_keys(table), index=False) for table in tables.values()])
    keep = np.zeros(len(times), np.bool_)
    keep[np.lexsort((hashes, times))[-limit:]] = True
    masks = np.split(keep, np.cumsum([len(table) for table in tables.values()])[:-1])
    return {v: t.filter(pa.array(mask)) for (v, t), mask in zip(tables.items(), masks, strict=True)}


def _keys(table: pa.Table) -> pd.DataFrame:
    return pd.DataFrame({name: table[name].to_pandas() for name in KEY})


def _last_reported(table: pa.Table) -> pa.Table:
    keys = _keys(table).assign(labelled_at=micros(table["labelled_at"]))
    last = keys.sort_values("labelled_at", kind="stable").drop_duplicates(list(KEY), keep="last").index
    return table.take(pa.array(np.sort(last.to_numpy())))
