"""Live quality: what labelled rows say of each version, beside what its training said."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from redis.asyncio import Redis

from services.monitor.buckets import Buckets
from services.monitor.feedback.inbox import Inbox
from services.monitor.feedback.joiner import OUTCOMES
from services.monitor.monitor import Monitor, newest
from services.monitor.quality import Verdict
from services.monitor.scorecard import Labelled, Scorecard
from services.monitor.versions import Training, Version, Versions, VersionUnknown
from services.monitor.windows import parse_length
from shared.keys import Keys


@dataclass(frozen=True)
class VersionQuality:
    training: Training
    windows: dict[str, Labelled]
    """Of predictions made in each window, as far as their actual values are known by now."""
    lifetime: Labelled


@dataclass(frozen=True)
class FeedbackCounts:
    """Values since ever, by what became of them."""

    joined: int
    """Found their prediction, and were the first for it."""
    corrected: int
    """Took the place of an earlier value."""
    repeated: int
    """Said what was known, or came after a later one."""
    given_up: int
    """Found no prediction within `TASADOR_MONITOR_FEEDBACK_DAYS`, or no room to wait; or the row has none."""
    invalid: int
    """Entries that could not be read."""
    waiting: int
    """Have not found their prediction yet, and are tried again."""
    unread: int
    """Entries, of up to 1,000 values each, that nobody has looked at yet."""


@dataclass(frozen=True)
class QualityReport:
    model_name: str
    model_version: str | None
    """The champion."""
    at: datetime
    versions: dict[str, VersionQuality]
    """Those with labelled rows, of the 20 that predicted last, and the champion."""
    feedback: FeedbackCounts


class LiveQuality:
    """Answers what labelled rows say. Redis errors pass through.

    Args:
        windows: of the report, as `windows.parse_length` reads them.
    """

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        *,
        monitor: Monitor,
        buckets: Buckets,
        versions: Versions,
        scorecard: Scorecard,
        windows: Sequence[str],
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._monitor = monitor
        self._buckets = buckets
        self._versions = versions
        self._scorecard = scorecard
        self._inbox = Inbox(redis, keys)
        self._windows = {text: parse_length(text, scorecard.longest) for text in windows}

    async def report(self) -> QualityReport:
        now = time.time()
        champion = await self._monitor.champion_version()
        found: dict[str, VersionQuality] = {}
        seen = await self._buckets.versions(self._monitor.model)
        told = {*newest(seen), champion}
        for name in (each for each in seen if each in told):
            try:
                version = await self._versions.get(self._monitor.model, name)
            except VersionUnknown:
                continue
            *recent, ever = await self._read(version, list(self._windows.values()), now)
            if ever.quality.n or name == champion:
                named = dict(zip(self._windows, recent, strict=True))
                found[name] = VersionQuality(version.training, named, ever)
        return QualityReport(
            self._monitor.model, champion, datetime.fromtimestamp(now, UTC), found, await self.feedback()
        )

    async def feedback(self) -> FeedbackCounts:
        counts: Mapping[str, int] = await self._buckets.counters(self._keys.feedback)
        outcomes = {name: counts.get(name, 0) for name in OUTCOMES}
        return FeedbackCounts(**outcomes, waiting=counts.get("waiting", 0), unread=await self._inbox.length())

    async def verdict(self) -> Verdict:
        """Judge the champion by `quality` of params.yaml. Raises NoModel."""
        version = await self._monitor.champion()
        window = min(version.quality.window, self._scorecard.longest)
        labelled = (await self._read(version, [window], time.time()))[0]
        limit = version.training.test["rmse"] * (1 + version.quality.max_rmse_increase)
        return Verdict(version.version, labelled.quality, version.quality.min_labels, limit)

    async def _read(self, version: Version, windows: Sequence[float], now: float) -> list[Labelled]:
        return await self._scorecard.read(version.model, version.version, version.quality_of, windows, now)
