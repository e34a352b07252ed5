"""The monitor's questions and answers: figures and drift of the served model, read from the shared counters."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from services.monitor import windows
from services.monitor.buckets import Buckets
from services.monitor.drift import ColumnDrift, DriftReport
from services.monitor.flow import Flow, Streams
from services.monitor.stats import Figures, figures
from services.monitor.versions import Version, Versions, VersionUnknown
from services.monitor.windows import DAY, Window, parse_length
from shared import artifact
from shared.error_estimate import EstimatedError, estimated_error, pooled
from shared.keys import Keys
from shared.profile import Profile, Summary, merge
from shared.store import Store

PACE_SECONDS = 5 * windows.MINUTE
"""How far back the pace of jobs is taken from."""

VERSIONS: Final = 20
"""That are told apart, those that predicted last: each takes a reading of its artifact, and a label of every metric."""


class NoModel(LookupError):
    """There is no champion yet, or its artifact cannot be read."""


@dataclass(frozen=True)
class WindowFigures:
    window: float | None
    """Seconds; null since ever."""
    since: datetime | None
    all: Figures
    by_version: dict[str, Figures]


@dataclass(frozen=True)
class Stats:
    model_name: str
    model_version: str | None
    """The champion."""
    at: datetime
    lifetime: WindowFigures
    windows: dict[str, WindowFigures]
    received: int
    """Predictions of gateways that were counted."""
    dropped: dict[str, int]
    """Predictions answered and not counted (see docs/monitoring.md), by kind of event."""
    invalid_events: int
    finished_jobs: dict[str, int]
    flow: Flow


@dataclass(frozen=True)
class Compared:
    """A comparison, and what it was made from."""

    champion: Version
    summary: Summary
    report: DriftReport


class Monitor:
    """Answers questions about one model. Redis errors pass through: the caller knows what to do without an answer.

    Args:
        figures_over: windows of the figures, as `windows.parse_length` reads them.
    """

    def __init__(
        self,
        *,
        model: str,
        store: Store,
        buckets: Buckets,
        versions: Versions,
        streams: Streams,
        keys: Keys,
        keep_days: int,
        figures_over: Sequence[str],
    ) -> None:
        self.model = model
        self.keep_seconds = float(keep_days * DAY)
        self.figures_over = {text: parse_length(text, self.keep_seconds) for text in figures_over}
        self._store = store
        self._buckets = buckets
        self._versions = versions
        self._streams = streams
        self._keys = keys

    async def champion(self) -> Version:
        """Return the version that serves. Raises NoModel."""
        try:
            pointer = await artifact.read_champion(self._store, self.model)
            if pointer is None:
                raise NoModel(f"{self.model} has no champion yet")
            return await self._versions.get(self.model, pointer.version)
        except VersionUnknown as unknown:
            raise NoModel(str(unknown)) from unknown
        except NoModel:
            raise
        except Exception as error:  # each store has its own errors for being away
            raise NoModel(f"the store cannot be read: {error}") from error

    async def drift(self, seconds: float | None = None, *, reaching: float = 0.0) -> DriftReport:
        """Say how far the champion's live rows are from its reference; see `compare`."""
        return (await self.compare(seconds, reaching=reaching)).report

    async def compare(self, seconds: float | None = None, *, reaching: float = 0.0) -> Compared:
        """Compare the champion's live rows with its reference.

        Args:
            seconds: how far to look back; by default the fewest newest minutes with enough rows (`Limits`), but
            reaching: at least so many seconds.

        Raises:
            NoModel: there is nothing to compare with.
        """
        champion, now = await self.champion(), time.time()
        window = await self._newest(champion, now, reaching) if seconds is None else windows.last_seconds(seconds, now)
        summary = await self._buckets.read(champion.model, champion.version, champion.profile, window)
        features, prediction = await asyncio.to_thread(_evaluate, champion, summary)
        drifted = [name for name, column in features.items() if column.drifted]
        report = DriftReport(
            window=window.seconds,
            n=summary.get("n", 0),
            since=_time(window.start),
            until=_time(now),
            model_name=champion.model,
            model_version=champion.version,
            drifted=[*drifted, "prediction"] if prediction.drifted else drifted,
            features=features,
            prediction=prediction,
            limits=vars(champion.limits),
            false_alarms=champion.limits.false_alarms,
            m=max(column.n for column in champion.profile.columns),
        )
        return Compared(champion, summary, report)

    async def stats(self) -> Stats:
        """Describe what was predicted, over each of its windows and since ever, and the state of the pipeline."""
        now = time.time()
        seen = await self._buckets.versions(self.model)
        versions = {version: await self._version(version) for version in newest(seen)}
        recent = {
            name: await self._window(seen, versions, windows.last_seconds(seconds, now))
            for name, seconds in self.figures_over.items()
        }
        totals = {v: await self._buckets.totals(self.model, v, _profile(found)) for v, found in versions.items()}
        others = await self._buckets.together(self.model, seen.keys() - versions.keys())
        received = await self._buckets.received()
        dropped = await self._buckets.counters(self._keys.dropped_events)
        return Stats(
            model_name=self.model,
            model_version=await self.champion_version(),
            at=_time(now),
            lifetime=_figures(totals, versions, None, others),
            windows=recent,
            received=received.rows,
            # The gateways' figure is derived from what arrived: it also knows what was lost on the way.
            dropped={**dropped, "predictions.logged.v1": received.dropped},
            invalid_events=received.invalid,
            finished_jobs=await self._buckets.counters(self._keys.finished_jobs),
            flow=await self._streams.flow(now, await self._job_rows_per_second(seen, now)),
        )

    async def _job_rows_per_second(self, seen: Mapping[str, float], now: float) -> float:
        window = windows.last_seconds(PACE_SECONDS, now)
        active = [version for version, last in seen.items() if last >= window.start]
        found = merge([await self._buckets.read(self.model, version, None, window) for version in active])
        return (found.get("rows:job", 0) + found.get("failed:job", 0)) / window.seconds

    async def _newest(self, champion: Version, now: float, reaching: float) -> Window:
        seconds, reaching = (min(length, self.keep_seconds) for length in (champion.limits.window, reaching))
        longest = windows.longest_of(seconds, reaching, now)
        rows = await self._buckets.rows(champion.model, champion.version, longest)
        return windows.newest(longest, rows, champion.limits.window_rows, reaching)

    async def totals(self) -> Summary:
        """Return what was counted of all versions since ever, whatever their profiles."""
        return await self._buckets.together(self.model, await self._buckets.versions(self.model))

    async def _window(
        self, seen: Mapping[str, float], versions: Mapping[str, Version | None], window: Window
    ) -> WindowFigures:
        active = [version for version, last in seen.items() if last >= window.start]
        read = {v: await self._buckets.read(self.model, v, _profile(versions.get(v)), window) for v in active}
        told = {version: found for version, found in read.items() if found and version in versions}
        others = merge([found for version, found in read.items() if version not in versions])
        return _figures(told, versions, window, others)

    async def _version(self, version: str) -> Version | None:
        try:
            return await self._versions.get(self.model, version)
        except VersionUnknown:
            return None

    async def champion_version(self) -> str | None:
        """Return the version that serves; None where there is none, or it cannot be read."""
        try:
            return (await self.champion()).version
        except NoModel:
            return None


def newest(seen: Mapping[str, float]) -> list[str]:
    """Return the versions that are told apart.

    Args:
        seen: `Buckets.versions`.
    """
    return list(seen)[-VERSIONS:]


def _evaluate(champion: Version, summary: Summary) -> tuple[dict[str, ColumnDrift], ColumnDrift]:
    from services.monitor.evaluate import evaluate  # noqa: PLC0415 - scipy takes a second and 80 MB

    return evaluate(champion.profile, summary, champion.limits)


def _figures(
    counters: Mapping[str, Summary],
    versions: Mapping[str, Version | None],
    window: Window | None,
    others: Summary,
) -> WindowFigures:
    """Describe versions one by one and together, and with the counters of others that are not told apart."""
    seconds = window.seconds if window else None
    parts = {name: (summary, _profile(versions[name])) for name, summary in counters.items()}
    errors = {name: _estimated(summary, versions[name]) for name, summary in counters.items()}
    return WindowFigures(
        window=seconds,
        since=_time(window.start) if window else None,
        all=figures([*parts.values(), (others, None)], seconds, pooled(errors.values())),
        by_version={version: figures([part], seconds, errors[version]) for version, part in parts.items()},
    )


def _profile(version: Version | None) -> Profile | None:
    return version.profile if version else None


def _estimated(summary: Summary, version: Version | None) -> EstimatedError | None:
    return estimated_error(summary, version.errors.figures if version and version.errors else None)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
