"""Finds what was predicted for the rows that values are about: in the prediction log, or in the parts of a job."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import ValidationError

from services.monitor.feedback.values import Key, Value, job_of
from services.monitor.log.rows import COLUMNS, column_names, feature_columns, with_schema_version
from services.monitor.versions import Version, Versions, VersionUnknown
from shared.chunks import ChunkInvalid, decode_chunk, decode_part
from shared.jobs import JobRecord, JobSpec, job_time
from shared.logged import LABELLED
from shared.records import read_record, read_spec
from shared.store import ObjectNotFound, Store
from shared.telemetry import get_logger

log = get_logger(__name__)


class Logged(Protocol):
    """The prediction log."""

    async def find(self, model: str, keys: set[Key]) -> pa.Table:
        """Return one row for each key that is found."""


@dataclass(frozen=True)
class Matches:
    """Rows of one version, predicted, and their values in the same order.

    `rows` has the columns of the prediction log but `mode` and `latency`.
    """

    version: Version
    rows: pa.Table
    values: Sequence[Value]

    def by_day(self) -> Mapping[str, "Matches"]:
        """Split them by the day (UTC) of the prediction, which is how they are kept."""
        days = pc.strftime(self.rows["time"], "%Y-%m-%d").to_pylist()
        places: dict[str, list[int]] = {}
        for place, day in enumerate(days):
            places.setdefault(day, []).append(place)
        return {
            day: Matches(self.version, self.rows.take(of_day), [self.values[place] for place in of_day])
            for day, of_day in places.items()
        }

    def labelled(self, chosen: Sequence[int]) -> pa.Table:
        """Return some of the rows with their values: what is kept of them."""
        values = [self.values[i] for i in chosen]
        rows = self.rows.take(list(chosen))
        columns: dict[str, Any] = {
            "actual": pa.array([value.actual for value in values], pa.float64()),
            "labelled_at": pa.array([value.at for value in values], pa.timestamp("us", "UTC")),
            "entry": pa.array([value.entry for value in values], pa.string()),
        }
        assert tuple(columns) == LABELLED
        names = [f"feature.{name}" if name in LABELLED else name for name in rows.column_names]
        rows = rows.rename_columns(names)
        for name, column in columns.items():
            rows = rows.append_column(name, column)
        return with_schema_version(rows)


@dataclass
class Found:
    matches: list[Matches] = field(default_factory=list)
    left: list[Value] = field(default_factory=list)
    """Values whose prediction was not found. It may still arrive."""
    hopeless: list[Value] = field(default_factory=list)
    """Values of rows that have no prediction, and never will."""

    def settled(self) -> set[Key]:
        """Return the rows of which something is known."""
        known = {value.key for match in self.matches for value in match.values}
        return known | {value.key for value in self.hopeless}


@dataclass(frozen=True)
class _Job:
    spec: JobSpec
    record: JobRecord
    version: Version


class Matching:
    """Looks in the log and in the store."""

    def __init__(self, store: Store, logged: Logged, versions: Versions) -> None:
        self._store = store
        self._logged = logged
        self._versions = versions

    async def find(self, values: Sequence[Value]) -> Found:
        """Find what was predicted; of each row at most one value is given.

        Raises:
            OSError: the store is away.
        """
        found = Found()
        ordered = sorted(values, key=_model_and_job)
        for (model, job_id), group in groupby(ordered, key=_model_and_job):
            if job_id:
                await self._in_a_job(model, job_id, list(group), found)
            else:
                await self._in_the_log(model, list(group), found)
        return found

    async def _in_the_log(self, model: str, values: Sequence[Value], found: Found) -> None:
        by_key = {value.key: value for value in values}
        rows = await self._logged.find(model, set(by_key))
        for name in pc.unique(rows["model_version"]).to_pylist():
            of_version = rows.filter(pc.equal(rows["model_version"], name))
            keys = list(zip(of_version["request_id"].to_pylist(), of_version["index"].to_pylist(), strict=True))
            try:
                version = await self._versions.get(model, name)
                wanted = await asyncio.to_thread(_of_version, of_version, version)
            except (VersionUnknown, KeyError, pa.ArrowException) as error:
                log.warning("cannot use predictions of a version", error=str(error))
                continue
            found.matches.append(Matches(version, wanted, [by_key.pop(key) for key in keys]))
        found.left += by_key.values()

    async def _in_a_job(self, model: str, job_id: str, values: Sequence[Value], found: Found) -> None:
        try:
            spec, record = await read_spec(self._store, job_id), await read_record(self._store, job_id)
            if record is None or spec.model_name != model:
                found.left += values
                return
            job = _Job(spec, record, await self._versions.get(spec.model_name, spec.model_version))
            by_chunk = sorted(values, key=lambda value: value.index)
            for chunk, of_chunk in groupby(by_chunk, key=lambda value: value.index // spec.chunk_rows):
                await self._in_a_chunk(job, chunk, list(of_chunk), found)
        except (ObjectNotFound, ValidationError, VersionUnknown):  # not there yet, or not any more
            settled = found.settled()
            found.left += [value for value in values if value.key not in settled]
        except ChunkInvalid as damaged:
            log.error("cannot read a job's rows", job_id=job_id, error=str(damaged))
            settled = found.settled()
            found.hopeless += [value for value in values if value.key not in settled]

    async def _in_a_chunk(self, job: _Job, chunk: int, values: Sequence[Value], found: Found) -> None:
        spec, record = job.spec, job.record
        if chunk >= len(record.parts):  # behind the end, or what was cancelled before it was scored
            found.hopeless += values
            return
        part = await self._store.get(record.parts[chunk].key)
        first, end = spec.input_offsets[chunk], spec.input_offsets[chunk + 1]
        data = await self._store.get_range(spec.input_key, first, end)
        places = np.array([value.index - spec.first_row(chunk) for value in values])
        x, predictions = await asyncio.to_thread(_read_chunk, data, part, places)
        good = np.isfinite(predictions)
        found.hopeless += [value for value, is_good in zip(values, good, strict=True) if not is_good]
        chosen = [value for value, is_good in zip(values, good, strict=True) if is_good]
        if chosen:
            time = record.status.finished_at or job_time(spec.id)
            rows = _rows_of_a_job(job.version, chosen, time, x[good], predictions[good])
            found.matches.append(Matches(job.version, rows, chosen))


def _model_and_job(value: Value) -> tuple[str, str]:
    return value.model, job_of(value.source) or ""


def _read_chunk(data: bytes, part: bytes, places: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the encoded rows and their predictions at some places; NaN where there is none."""
    x = decode_chunk(data).x
    predictions = decode_part(part).column("prediction").to_numpy(zero_copy_only=False)
    inside = (places >= 0) & (places < len(x))
    found = np.full(len(places), np.nan)
    found[inside] = predictions[places[inside]]
    rows = np.full((len(places), x.shape[1]), np.nan)
    rows[inside] = x[places[inside]]
    return rows, found


def _rows_of_a_job(
    version: Version,
    values: Sequence[Value],
    time: datetime,
    x: NDArray[np.float64],
    predictions: NDArray[np.float64],
) -> pa.Table:
    columns: Mapping[str, Any] = {
        "time": pa.array([time] * len(values), pa.timestamp("us", "UTC")),
        "request_id": pa.array([value.source for value in values], pa.string()),
        "index": pa.array([value.index for value in values], pa.int64()),
        "model_version": pa.array([version.version] * len(values), pa.string()),
        "prediction": pa.array(predictions, pa.float64()),
    }
    return pa.table({**columns, **feature_columns(version.signature, x)})


def _of_version(rows: pa.Table, version: Version) -> pa.Table:
    """Keep the columns that a version has, in its types: among rows of other versions they may have become text."""
    names = column_names(version.signature)
    kinds = {
        n: pa.float64() if f.kind == "numeric" else pa.string()
        for n, f in zip(names, version.signature.features, strict=True)
    }
    fixed: Iterable[str] = [name for name in COLUMNS if name not in ("mode", "latency")]
    chosen = rows.select([*fixed, *names])
    fields = [pa.field(field.name, kinds.get(field.name, field.type)) for field in chosen.schema]
    return chosen.cast(pa.schema(fields))
