"""Handlers of the group that counts: each event is validated by itself, folded, applied and acknowledged."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence

from services.monitor.buckets import INVALID, Application, Buckets, Progress
from services.monitor.entries import Entry, check_name, read_event
from services.monitor.fold import InvalidEvent, check_columns, encoded_rows, fold_chunk, fold_predictions
from services.monitor.versions import Version, Versions, VersionUnknown
from shared.events import ChunkScored, Event, JobFinished, PredictionsLogged
from shared.keys import Keys
from shared.telemetry import get_logger

Count = Callable[[str, str, int], None]
"""Told of the kind of event, the outcome, and how many."""

Lag = Callable[[str, float], None]
"""Told of the kind of event, and after how many seconds it was counted."""

log = get_logger(__name__)


class StatsHandlers:
    """Turns events into counters. An entry that cannot be counted yet stays pending, and comes again by reclaim."""

    def __init__(
        self, buckets: Buckets, versions: Versions, keys: Keys, keep_days: int, *, count: Count, lag: Lag
    ) -> None:
        self._buckets = buckets
        self._versions = versions
        self._keys = keys
        self._keep_days = keep_days
        self._count = count
        self._lag = lag

    async def on_predictions_logged(self, entries: Sequence[Entry]) -> None:
        await self._handle(PredictionsLogged, entries, self._predictions)

    async def on_chunk_scored(self, entries: Sequence[Entry]) -> None:
        await self._handle(ChunkScored, entries, self._chunk)

    async def on_job_finished(self, entries: Sequence[Entry]) -> None:
        await self._handle(JobFinished, entries, self._job)

    async def _handle(self, kind: type[Event], entries: Sequence[Entry], fold: Callable[..., Application]) -> None:
        outcomes: Counter[str] = Counter()
        for entry in entries:
            application = await self._application(kind, entry, fold)
            if application is None:
                outcomes["waiting"] += 1
                continue
            (outcome,) = await self._buckets.apply([application], time.time())
            if outcome == "applied":
                self._applied(kind, application)
            invalid = outcome == "applied" and self._keys.received in application.others
            outcomes["invalid" if invalid else outcome] += 1
        for outcome, number in outcomes.items():
            self._count(kind.stream, outcome, number)

    def _applied(self, kind: type[Event], application: Application) -> None:
        if application.happened is not None:
            self._lag(kind.stream, max(0.0, time.time() - application.happened))  # clocks differ
        if application.job:
            log.info("job finished", **application.job)

    async def _application(
        self, kind: type[Event], entry: Entry, fold: Callable[..., Application]
    ) -> Application | None:
        """Return what an entry adds; None when that cannot be said yet."""
        try:
            event = await asyncio.to_thread(read_event, kind, entry)
            version = await self._version(event)
            return await asyncio.to_thread(fold, entry, event, version)
        except VersionUnknown:
            return None
        except InvalidEvent as invalid:
            log.error("invalid event", stream=entry.stream, entry=entry.id, reason=str(invalid))
        except Exception:  # ours: but one entry must not hold up those behind it for ever
            log.exception("cannot count an event", stream=entry.stream, entry=entry.id)
        return Application(entry.stream, entry.id, others={self._keys.received: {INVALID: 1}})

    async def _version(self, event: Event) -> Version | None:
        """Return the version that an event names; None for an event without one, or when there is no more hope."""
        if not isinstance(event, PredictionsLogged | ChunkScored):
            return None
        check_name(event.model_name, event.model_version)
        try:
            return await self._versions.get(event.model_name, event.model_version)
        except VersionUnknown as unknown:
            if not unknown.hopeless:
                raise
            log.error("counting rows without their features", reason=str(unknown))
            return None

    def _predictions(self, entry: Entry, event: PredictionsLogged, version: Version | None) -> Application:
        check_columns(event)
        x = encoded_rows(event, version.signature) if version else None
        profile = version.profile if version else None
        estimate = version.errors.summarise if version and version.errors else None
        return Application(
            entry.stream,
            entry.id,
            once=(event.replica, _number(event.sequence)),
            progress=Progress(event.replica, event.rows, event.answered_before + event.rows),
            version=(event.model_name, event.model_version),
            profile=profile,
            minutes=fold_predictions(event, x, profile, time.time(), self._keep_days, estimate=estimate),
            happened=min(event.time, default=None),
        )

    def _chunk(self, entry: Entry, event: ChunkScored, version: Version | None) -> Application:
        profile = version.profile if version else None
        return Application(
            entry.stream,
            entry.id,
            once=(event.job_id, _number(event.chunk)),
            version=(event.model_name, event.model_version),
            profile=profile,
            minutes=fold_chunk(event, profile, time.time(), self._keep_days),
            happened=event.occurred_at.timestamp(),
        )

    def _job(self, entry: Entry, event: JobFinished, version: Version | None) -> Application:
        counters = {event.state: 1, "rows": event.rows, "failed_rows": event.failed}
        return Application(
            entry.stream,
            entry.id,
            once=(f"{event.job_id}|finished", 0),
            others={self._keys.finished_jobs: counters},
            happened=event.occurred_at.timestamp(),
            job=event.model_dump(include={"job_id", "request_id", "state", "rows", "failed"}),
        )


def _number(value: int) -> int:
    if not 0 <= value < 1 << 53:
        raise InvalidEvent(f"{value} is no sequence number")
    return value
