"""Following the desired version: what gateway and scorer do to serve the same model, and to swap it together.

The durable truth is `champion.json` in the store; Redis holds a copy, and during a promotion the candidate. A broadcast
only wakes us; a timer does as well, so a lost event costs seconds.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from shared import artifact
from shared.artifact import ArtifactInvalid, Champion
from shared.clock import utc_now
from shared.engine import Model, load_model
from shared.events import BROADCASTS
from shared.keys import Keys
from shared.replica import Replica
from shared.settings import CommonSettings
from shared.store import Store
from shared.tasks import until_cancelled
from shared.telemetry import TRACE, get_logger, traced

RECEIPT_SECONDS = 3600  # how long receipts are kept for /replicas and the history

log = get_logger(__name__)


@dataclass(frozen=True)
class Serving:
    """The model in service and the epoch that made it so. Read it once per request."""

    model: Model
    epoch: int


@dataclass(frozen=True)
class Candidate:
    """The version of a promotion under way."""

    version: str
    digest: str
    promotion_id: str
    asked: Mapping[str, str]
    """Who asked for it, for the log."""


@dataclass(frozen=True)
class Desired:
    champion: Champion
    candidate: Candidate | None
    asked: Mapping[str, str]
    """Who asked for the champion's epoch, as far as Redis knows."""


class Receipt(BaseModel):
    """A replica's report on a candidate."""

    model_config = ConfigDict(frozen=True)

    replica: str
    accepted: bool
    error: str | None = None
    at: AwareDatetime


class Models:
    """Verified models in memory by version: the few used last."""

    def __init__(self, store: Store, name: str, capacity: int, *, errors: bool = False) -> None:
        """`errors`: load their error models, too."""
        self._store = store
        self._errors = errors
        self._name = name
        self._capacity = capacity
        self._loaded: OrderedDict[tuple[str, str | None], Model] = OrderedDict()
        self._lock = asyncio.Lock()

    async def get(self, version: str, digest: str | None = None) -> Model:
        """Return a version, loading it if need be; the event loop goes on meanwhile.

        Raises:
            ArtifactInvalid: it is not there, altered, or does not reproduce its golden rows.
        """
        key = (version, digest)
        async with self._lock:  # one load at a time: two would only take each other's processor
            if key not in self._loaded:
                found = await artifact.fetch(self._store, self._name, version, digest, errors=self._errors)
                self._loaded[key] = await asyncio.to_thread(load_model, found)
            self._loaded.move_to_end(key)
            while len(self._loaded) > self._capacity:
                self._loaded.popitem(last=False)
            return self._loaded[key]


class ModelFollower:
    """Keeps `current` at the desired version.

    `current` changes by one assignment, and its epoch never goes back. A version that does not load here leaves the
    old one in service, and the error is announced.
    """

    def __init__(
        self, settings: CommonSettings, redis: Redis, store: Store, replica: Replica, *, errors: bool = False
    ) -> None:
        """`errors`: load their error models, too."""
        self.current: Serving | None = None
        self.models = Models(store, settings.model_name, settings.models_in_memory, errors=errors)
        self._name = settings.model_name
        self._poll = settings.poll_seconds
        self._redis = redis
        self._store = store
        self._keys = Keys(settings.tenant)
        self._replica = replica
        self._pause_limit = settings.presence_seconds / 2
        self._pulse_at = self._woke_at = time.monotonic()
        self._looked_at = float("-inf")
        self._last_seen: dict[str, str] = {}
        self._reconciling = asyncio.Lock()

    @property
    def fresh(self) -> bool:
        """Whether we looked at the desired version since this process was last paused, and caught up with it.

        A process that stands still counts as gone after a while, and a promotion passes over it. One that cannot ask,
        on the other hand, stays fresh: whatever is away or slow, the model that it has predicts.
        """
        self._feel_pulse()
        return self._looked_at >= self._woke_at

    async def run(self) -> None:
        """Follow for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_pulse())
            for _ in until_cancelled():
                await self.reconcile()
                await self._wait_for_news()

    async def _keep_pulse(self) -> None:
        for _ in until_cancelled():
            self._feel_pulse()
            await asyncio.sleep(self._pause_limit / 4)

    def _feel_pulse(self) -> None:
        """Notice a pause long enough that others may have counted us as gone."""
        now = time.monotonic()
        if now - self._pulse_at > self._pause_limit:
            self._woke_at = now
        self._pulse_at = now

    async def reconcile(self) -> None:
        """Bring `current` to the desired version, and answer a promotion under way. Never raises."""
        async with self._reconciling:
            self._feel_pulse()  # a pause that is noticed later must not make this look older than it is
            started, caught_up = time.monotonic(), True  # what cannot be reached cannot have told others either
            try:
                desired = await self._desired()
                if desired is not None:
                    caught_up = False
                    with traced(**desired.asked):
                        await self._follow(desired.champion)
                    caught_up = self.current is not None and self.current.epoch >= desired.champion.epoch
                    if desired.candidate is not None:
                        await self._answer(desired.candidate)
            except ArtifactInvalid as invalid:
                self._refuse(str(invalid))
            except (RedisError, OSError) as error:
                log.debug("could not finish looking for the desired version", error=str(error))
            except Exception:  # a bug here must not stop a replica that can predict
                log.exception("could not look for the desired version")
            if caught_up:
                self._looked_at = started

    async def _desired(self) -> Desired | None:
        try:
            fields: Any = await self._redis.hgetall(self._keys.model(self._name))
        except (RedisError, OSError):
            fields = {}
        if not fields.get("version"):
            champion = await artifact.read_champion(self._store, self._name)
            candidate = _candidate(fields)
            if champion is None:
                if candidate is not None:
                    await self._answer(candidate)
                return None
            return Desired(champion, candidate, {})
        champion = Champion(version=fields["version"], epoch=int(fields["epoch"]), digest=fields["digest"])
        return Desired(champion, _candidate(fields), _asked(fields))

    async def _follow(self, champion: Champion) -> None:
        if self.current is not None and champion.epoch <= self.current.epoch:
            self._replica.error = None
            return
        try:
            model = await self.models.get(champion.version, champion.digest)
        except ArtifactInvalid as invalid:
            self._refuse(str(invalid))
            return
        self.current = Serving(model, champion.epoch)
        self._replica.version, self._replica.epoch, self._replica.error = champion.version, champion.epoch, None
        self._replica.engine = model.engine.name
        log.info("serving", model=model.name, version=champion.version, epoch=champion.epoch)
        await self._replica.announce()

    def _refuse(self, why: str) -> None:
        if self._replica.error != why:
            log.error("cannot serve the desired version", error=why)
        self._replica.error = why

    async def _answer(self, candidate: Candidate) -> None:
        """Load and check the candidate, and send a receipt, once."""
        receipts = self._keys.receipts(candidate.promotion_id)
        if await self._redis.hexists(receipts, self._replica.member):
            return
        error: str | None = None
        known = {"version": candidate.version, "promotion_id": candidate.promotion_id, **candidate.asked}
        try:
            await self.models.get(candidate.version, candidate.digest)
            log.info("accepting a candidate", **known)
        except ArtifactInvalid as invalid:
            error = str(invalid)
            log.error("refusing a candidate", error=error, **known)
        receipt = Receipt(replica=self._replica.member, accepted=error is None, error=error, at=utc_now())
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(receipts, self._replica.member, receipt.model_dump_json())
            pipe.expire(receipts, RECEIPT_SECONDS)
            await pipe.execute()

    async def _wait_for_news(self) -> None:
        """Return when something was broadcast, or after the polling interval."""
        try:
            if not self._last_seen:
                self._last_seen = {name: await self._last_id(name) for name in self._broadcasts()}
                return  # something may have happened before we knew where to listen: look once more
            positions: Any = self._last_seen
            news: Any = await self._redis.xread(positions, block=int(self._poll * 1000))
            for stream, entries in news or []:
                self._last_seen[stream] = entries[-1][0]
        except (RedisError, OSError):
            self._last_seen = {}
            await asyncio.sleep(self._poll / 2)

    def _broadcasts(self) -> list[str]:
        return [self._keys.stream(event.stream) for event in BROADCASTS]

    async def _last_id(self, stream: str) -> str:
        try:
            return str((await self._redis.xinfo_stream(stream))["last-generated-id"])
        except ResponseError:  # no such stream yet
            return "0"


def _candidate(fields: dict[str, str]) -> Candidate | None:
    if not fields.get("promotion_id"):
        return None
    asked = _asked(fields, "candidate_")
    return Candidate(fields["candidate_version"], fields["candidate_digest"], fields["promotion_id"], asked)


def _asked(fields: Mapping[str, str], prefix: str = "") -> dict[str, str]:
    return {name: fields[prefix + name] for name in TRACE if fields.get(prefix + name)}
