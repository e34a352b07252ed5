"""Joins what arrives with what was predicted, some entries at a time, and keeps and counts what comes of it."""

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Final

import numpy as np
from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.monitor.buckets import Target
from services.monitor.entries import check_name
from services.monitor.feedback.inbox import Arrived, Inbox, Postponed
from services.monitor.feedback.labels import Label, Labels
from services.monitor.feedback.matching import Matches, Matching
from services.monitor.feedback.values import Key, Said, Value, event_of, latest, values_of
from services.monitor.log.files import FileDamaged
from services.monitor.log.rows import SchemaTooNew
from services.monitor.quality import negative
from services.monitor.scorecard import Scorecard
from shared.clock import utc_now
from shared.events import FeedbackReceived
from shared.keys import Keys
from shared.lease import Lease
from shared.profile import Summary, merge
from shared.tasks import until_cancelled
from shared.telemetry import get_logger

AT_ONCE: Final = 10  # entries, of up to 1,000 values each
LEASE: Final = timedelta(seconds=30)
PAUSE: Final = 1.0  # seconds between looks
PAUSES: Final = (15.0, 60.0, 300.0, 1800.0, 7200.0, 21_600.0)
"""Seconds until a value that found no prediction is tried again; the last one for ever."""

OUTCOMES: Final = ("joined", "corrected", "repeated", "given_up", "invalid")

log = get_logger(__name__)


@dataclass(frozen=True)
class Patience:
    """How long, and how many, values wait for their prediction."""

    seconds: float
    values: int


@dataclass
class _Outcome:
    """What a group of entries comes to. What is counted: values by outcome."""

    counts: Counter[str]
    quality: dict[tuple[str, str], dict[int, Summary]]
    """By model and version, then by hour (Unix time // 3600)."""


class Joiner:
    """Works on the inbox whenever no other monitor does.

    Args:
        model: of values that name none.
    """

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        inbox: Inbox,
        *,
        matching: Matching,
        labels: Labels,
        scorecard: Scorecard,
        model: str,
        patience: Patience,
    ) -> None:
        self._lease = Lease(redis, keys.lease("feedback"), LEASE)
        self._inbox = inbox
        self.matching = matching
        self._labels = labels
        self._scorecard = scorecard
        self._model = model
        self._patience = patience
        self._complaint = ""
        self._since = datetime.fromtimestamp(0, UTC)

    async def run(self) -> None:
        """Join for ever."""
        for _ in until_cancelled():
            try:
                await self.work()
                self._complaint = ""
            except RedisError as error:  # which all others say, too
                log.debug("cannot join feedback now", error=str(error))
            except OSError as error:
                if str(error) != self._complaint:  # said once: it is tried every second
                    log.warning("cannot join feedback; trying again", error=str(error))
                self._complaint = str(error)
            except Exception:
                log.exception("joining feedback failed; trying again")
            await asyncio.sleep(PAUSE)

    async def stop(self) -> None:
        """Let another monitor go on at once."""
        await self._lease.release()

    async def work(self) -> None:
        """Do what there is to do now, unless somebody else does it."""
        if not await self._lease.acquire():
            return
        async with self._lease.kept():
            self._since = await self._inbox.since()
            idle = 0
            # By turns: what waits must not wait for a stream that is never empty.
            for turn, _ in enumerate(until_cancelled()):
                look = self._inbox.due(time.time(), AT_ONCE) if turn % 2 else self._inbox.fresh(AT_ONCE)
                arrived = await look
                idle = 0 if arrived else idle + 1
                if idle == 2 or (arrived and not await self._join(arrived)):
                    return

    async def _join(self, arrived: Sequence[Arrived]) -> bool:
        """Join some entries; False when they were not taken out, because somebody else does it."""
        values, counts = self._read(arrived)
        current, replaced = latest(values)
        counts["repeated"] += replaced.total()
        found = await self.matching.find(current)
        counts["given_up"] += len(found.hopeless)
        outcome = _Outcome(counts, {})
        at_hand = {value.said for value in values}
        for day, match in chain.from_iterable(each.by_day().items() for each in found.matches):
            try:
                await self._label(match, day, at_hand, outcome)
            except (FileDamaged, SchemaTooNew) as error:  # what is known of these rows cannot be told
                log.error("feedback of a day waits", day=day, values=len(match.values), reason=str(error))
                found.left += match.values
        postponed = await self._postponed(found.left, {entry.id: entry.tries for entry in arrived}, counts)
        waited = {entry.id for entry in arrived if entry.waited}
        counts["waiting"] += sum(each.values for each in postponed) - sum(value.entry in waited for value in values)
        answer = await self._inbox.settle(self._lease, arrived, postponed, counts, self._targets(outcome))
        if answer != "ok":
            log.info("feedback is joined by another monitor", answer=answer)
            return False
        if told := {name: counts[name] for name in OUTCOMES if counts[name]}:
            log.info("feedback joined", **told)
        return True

    def _read(self, arrived: Sequence[Arrived]) -> tuple[list[Value], Counter[str]]:
        values, counts = list[Value](), Counter[str]()
        for entry in arrived:
            try:
                event = FeedbackReceived.model_validate_json(entry.body)
                found = values_of(entry.id, event, self._model)
                check_name(*{value.model for value in found})
            except (ValidationError, ValueError) as invalid:
                log.error("invalid feedback", entry=entry.id, reason=str(invalid)[:500])
                counts["invalid"] += 1
            else:
                values += found
        return values, counts

    async def _label(self, match: Matches, day: str, at_hand: Collection[Said], outcome: _Outcome) -> None:
        """Keep rows of a day with their values, and count those that are new or corrected."""
        before = await self._counted_before(match, day, at_hand)
        times = match.rows["time"].to_pylist()
        news = [_news(value, at, before) for value, at in zip(match.values, times, strict=True)]
        chosen = {i: kind for i, kind in enumerate(news) if kind != "repeated"}
        outcome.counts.update(news)
        kept = [i for i, value in enumerate(match.values) if i in chosen or before[value.key].at < value.at]
        if kept:  # a repetition, too: what was said before it, and still waits, is not to take its place
            await self._labels.add(match.version.model, day, match.labelled(kept))
        predictions = match.rows["prediction"].to_numpy()
        by_hour: dict[int, list[int]] = {}
        for i in chosen:
            by_hour.setdefault(int(times[i].timestamp() // 3600), []).append(i)
        hours = outcome.quality.setdefault((match.version.model, match.version.version), {})
        for hour, places in by_hour.items():
            corrected = [i for i in places if chosen[i] == "corrected"]
            told = [match.values[i].actual for i in places]
            wrong = [before[match.values[i].key].actual for i in corrected]
            added = match.version.summarise_quality(predictions[places], np.array(told))
            taken_out = match.version.summarise_quality(predictions[corrected], np.array(wrong))
            hours[hour] = merge([hours.get(hour, {}), added, negative(taken_out)])

    async def _counted_before(self, match: Matches, day: str, at_hand: Collection[Said]) -> Mapping[Key, Label]:
        """Return the latest label of each row that was counted.

        Whoever died between keeping and counting left labels of what is at hand, or still to be joined; and of those
        that were counted in a Redis that has lost its data since, nothing is known here.
        """
        keys = {value.key for value in match.values}
        uncounted = set(at_hand)
        while True:
            found = await self._labels.find(match.version.model, keys, day, since=self._since, but=uncounted)
            others = sorted({label.entry for label in found.values()})
            left, _ = self._read(await self._inbox.find(others))
            left_over = {value.said for value in left} & {(label.entry, key) for key, label in found.items()}
            if not left_over:
                return found
            uncounted |= left_over

    async def _postponed(
        self, left: Sequence[Value], tries: Mapping[str, int], counts: Counter[str]
    ) -> list[Postponed]:
        """Return what is tried again later; what has waited for too long, or finds no room, is given up."""
        room = max(0, self._patience.values - await self._inbox.waiting())
        by_entry: dict[str, list[Value]] = {}
        for value in left:
            by_entry.setdefault(value.entry, []).append(value)
        postponed = []
        for entry, values in by_entry.items():
            n, too_old = tries[entry], utc_now() - values[0].at > timedelta(seconds=self._patience.seconds)
            if too_old or (n == 0 and len(values) > room):
                why = "they found no prediction" if too_old else "too many others wait"
                log.warning("feedback given up", values=len(values), why=why, first=values[0].source)
                counts["given_up"] += len(values)
                continue
            room -= len(values) if n == 0 else 0
            due = time.time() + PAUSES[min(n, len(PAUSES) - 1)]
            postponed.append(Postponed(entry, event_of(values).model_dump_json(), n + 1, due, len(values)))
        return postponed

    def _targets(self, outcome: _Outcome) -> list[Target]:
        return [
            target
            for (model, version), hours in outcome.quality.items()
            for target in self._scorecard.targets(model, version, hours)
        ]


def _news(value: Value, time: datetime, before: Mapping[Key, Label]) -> str:
    """Return whether a value is `joined` (new), `corrected` (another one than before) or `repeated`."""
    label = before.get(value.key)
    if label is None or label.time.astimezone(UTC) != time.astimezone(UTC):
        return "joined"
    return "repeated" if label.at >= value.at or label.actual == value.actual else "corrected"
