"""Gathers what a report shows: the drift of one window, and what the buckets say of the time up to now."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from services.monitor import windows
from services.monitor.buckets import Buckets
from services.monitor.layout import TIMES
from services.monitor.live_quality import LiveQuality
from services.monitor.monitor import Compared, Monitor, NoModel, newest
from services.monitor.report import history
from services.monitor.report.data import Column, Comparison, Condition, DriftHistory, History, Report
from services.monitor.report.distributions import column_of
from services.monitor.report.measures import RANKS, of_what_it_takes
from services.monitor.report.page import PICTURED, render
from services.monitor.report.sources import line_of, quality_of
from services.monitor.versions import Version
from services.monitor.watch import Watch
from services.monitor.windows import DAY, HOUR, Window
from shared.profile import ColumnProfile, Summary, merge


class Reporter:
    """Makes one report at a time: with hundreds of features one takes seconds, and memory for them all."""

    def __init__(self, monitor: Monitor, buckets: Buckets, watch: Watch, quality: LiveQuality) -> None:
        self._monitor = monitor
        self._buckets = buckets
        self._watch = watch
        self._quality = quality
        self._lock = asyncio.Lock()

    async def page(self, asked: str | None, condition: Condition) -> str:
        """Return the report as a page.

        Args:
            asked: window of the distributions, and of the timelines; by default those of `/drift`, and a day.

        Raises:
            InvalidWindow: that is no window.
        """
        seconds = None if asked is None else windows.parse_length(asked, self._monitor.keep_seconds)
        async with self._lock:
            report = await self._report(asked, seconds, condition)
            return await asyncio.to_thread(render, report)

    async def _report(self, asked: str | None, seconds: float | None, condition: Condition) -> Report:
        try:
            compared = await self._monitor.compare(seconds)
        except NoModel:
            compared = None
        stats = await self._monitor.stats()
        champion = compared.champion if compared else None
        comparison = await asyncio.to_thread(_comparison, compared) if compared else None
        return Report(
            model=self._monitor.model,
            version=stats.model_version,
            at=stats.at,
            asked=asked,
            condition=condition,
            target=champion.signature.target.name if champion else None,
            unit=(champion.signature.target.unit or "") if champion else "",
            total=stats.lifetime.all.total_predictions,
            dropped=sum(stats.dropped.values()),
            comparison=comparison,
            history=await self._history(champion, comparison, seconds),
            alerts=[line_of(alert) for alert in (await self._watch.read()).alerts],
            quality=quality_of(await self._quality.report(), stats),
        )

    async def _history(self, champion: Version | None, comparison: Comparison | None, seconds: float | None) -> History:
        now = time.time()
        seen = await self._buckets.versions(self._monitor.model)
        shown = newest(seen)
        window = history.timeline(seconds, now, await self._oldest(shown, now))
        pieces = history.steps(window)
        counted: list[list[Summary]] = [[] for _ in pieces]
        others = [v for v in shown if seen[v] >= window.start and (champion is None or v != champion.version)]
        for version in others:
            found = await self._buckets.series(self._monitor.model, version, None, pieces)
            for summaries, summary in zip(counted, found, strict=True):
                summaries.append(summary)
        drift: DriftHistory | None = None
        if champion is not None and comparison is not None:
            drift = await self._drift(champion, _pictured(champion, comparison), pieces, counted)
        return History(
            starts=history.starts(pieces),
            until=datetime.fromtimestamp(now, UTC),
            modes=await asyncio.to_thread(history.modes, pieces, [merge(each) for each in counted]),
            drift=drift,
        )

    async def _drift(
        self,
        champion: Version,
        columns: Sequence[tuple[str, ColumnProfile]],
        pieces: Sequence[Window],
        counted: Sequence[list[Summary]],
    ) -> DriftHistory:
        """Return the champion's drift, and add its counters to the others'; pieces are read one by one, for memory."""
        found: list[list[float | None]] = []
        for piece, summaries in zip(pieces, counted, strict=True):
            summary = await self._buckets.read(champion.model, champion.version, champion.profile, piece)
            summaries.append({name: summary[name] for name in TIMES if name in summary})
            found.append(await asyncio.to_thread(_distances, columns, summary, champion))
        names = [column.name for _, column in columns]
        return DriftHistory(tuple(zip(names, zip(*found, strict=True), strict=True)))

    async def _oldest(self, versions: Sequence[str], now: float) -> float | None:
        """Return when, within the last day, the first prediction was made, to the hour."""
        day = windows.last_seconds(DAY, now)
        found = [await self._buckets.rows(self._monitor.model, version, day) for version in versions]
        hours = [number for rows in found for number, n in rows.items() if n]
        return min(hours) * float(HOUR) if hours else None


def _comparison(compared: Compared) -> Comparison:
    champion, report = compared.champion, compared.report
    columns = [
        column_of(profile, str(i), compared.summary, report.features[profile.name], feature.categories)
        for i, (profile, feature) in enumerate(zip(champion.profile.features, champion.signature.features, strict=True))
    ]
    return Comparison(
        since=report.since,
        until=report.until,
        rows=report.n,
        columns=tuple(sorted(columns, key=_by_effect)),
        prediction=column_of(champion.profile.prediction, "p", compared.summary, report.prediction),
    )


def _by_effect(column: Column) -> tuple[int, float]:
    return RANKS[column.state], -(column.effect or 0.0)


def _pictured(champion: Version, comparison: Comparison) -> list[tuple[str, ColumnProfile]]:
    """Return the counters' prefix and profile of the prediction and of the columns that have a picture."""
    places = {profile.name: i for i, profile in enumerate(champion.profile.features)}
    shown = [places[column.name] for column in comparison.columns[:PICTURED]]
    return [("p", champion.profile.prediction), *((str(i), champion.profile.features[i]) for i in shown)]


def _distances(columns: Sequence[tuple[str, ColumnProfile]], summary: Summary, champion: Version) -> list[float | None]:
    return [of_what_it_takes(column, prefix, summary, champion.limits) for prefix, column in columns]
