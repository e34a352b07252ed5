"""Reads the rows whose actual values were reported.

The monitor writes them, `labels/<model>/date=<day of the prediction>/….parquet`. Of several rows with one key (request
id and index) the one that was reported last counts; they lie in the same day, which is the prediction's. The first of
them decides which part the row is in.
"""

import io
from collections import Counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from services.trainer.labels import Labels, to_rows
from services.trainer.reported import Reported, joined, micros
from shared import artifact
from shared.artifact import ArtifactInvalid
from shared.keys import labels_prefix
from shared.logged import SCHEMA_VERSION, schema_version
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
        if sum(map(len, newest.rows().values())) >= limit:
            break
    for version, rows in sorted(newest.rows().items()):
        signature = await _signature(store, model, version)
        if signature is None:
            labels.left_out[f"version {version}, which predicted them, is not in the store any more"] += len(rows)
        elif signature.target.name != target:
            labels.left_out[f"version {version} predicted {signature.target.name!r}"] += len(rows)
        else:
            labels.groups.append(to_rows(rows, signature, labels.left_out))
    return labels


async def _read_day(store: Store, prefix: str, limit: int, left_out: Counter[str]) -> dict[str, Reported]:
    for attempt in range(1, _ATTEMPTS + 1):
        found, unread = _Newest(limit), Counter[str]()
        try:
            for key in sorted([key async for key in store.list(prefix) if key.endswith(".parquet")]):
                data = await store.get(key)
                try:
                    table = pq.read_table(io.BytesIO(data))
                    if schema_version(table.schema.metadata) > SCHEMA_VERSION:
                        unread[f"files of {prefix} were written by a newer Tasador: upgrade the trainer"] += 1
                    else:
                        found.add(Reported.of(table))
                except (pa.ArrowException, KeyError):
                    unread[f"files of {prefix} cannot be read"] += 1
        except ObjectNotFound:  # merged into another file since it was listed
            if attempt == _ATTEMPTS:
                raise
            continue
        left_out.update(unread)
        break
    return found.rows()


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
        self._waiting: dict[str, list[Reported]] = {}
        self._rows = 0

    def add(self, rows: Reported) -> None:
        for version in pc.unique(rows.table["model_version"]).to_pylist():
            self._waiting.setdefault(version, []).append(rows.of_version(version))
        self._rows += len(rows)
        if self._rows > 2 * self._limit:
            self.rows()

    def rows(self) -> dict[str, Reported]:
        """Return the newest rows, of each key the one reported last."""
        found = _newest({version: joined(parts) for version, parts in self._waiting.items()}, self._limit)
        self._waiting = {version: [rows] for version, rows in found.items()}
        self._rows = sum(map(len, found.values()))
        return found


def _newest(groups: dict[str, Reported], limit: int) -> dict[str, Reported]:
    """Leave out the oldest; of those predicted at one moment, as a job's are, a hash of the key picks."""
    if not groups or sum(map(len, groups.values())) <= limit:
        return groups
    times = np.concatenate([micros(rows.table["time"]) for rows in groups.values()])
    hashes = np.concatenate([pd.util.hash_pandas_object(rows.keys(), index=False) for rows in groups.values()])
    keep = np.zeros(len(times), np.bool_)
    keep[np.lexsort((hashes, times))[-limit:]] = True
    masks = np.split(keep, np.cumsum([len(rows) for rows in groups.values()])[:-1])
    return {version: rows.where(mask) for (version, rows), mask in zip(groups.items(), masks, strict=True)}
