"""Keeping the subscriber alive through everything Redis does, and noticing when Redis was away."""

import asyncio
import time
from datetime import timedelta
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.scorer.fleet import Fleet
from services.scorer.metrics import Metrics
from services.scorer.reclaim import Reclaimer
from shared.broker import check_server, ensure_group
from shared.follower import ModelFollower
from shared.keys import SCORERS_GROUP, Keys
from shared.replica import Replica
from shared.tasks import until_cancelled
from shared.telemetry import get_logger

CHECK_SECONDS = 0.5
PATIENCE = 2.0  # seconds that Redis may take to answer before it counts as away
RESTARTS_TOLERATED = 3  # FastStream restarts a failing reader at once, for ever, and keeps the old task
MOST_PAUSE = 10.0  # seconds between restarts of a reader that keeps failing
STALE_SECONDS = 30.0  # a watchdog silent for longer means that the event loop is stuck

log = get_logger(__name__)


class Watchdog:
    """Starts the subscriber, starts it again when it stopped for good, and slows it down when it fails in a loop."""

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        subscriber: Any,
        *,
        reclaimer: Reclaimer,
        fleet: Fleet,
        follower: ModelFollower,
        replica: Replica,
        metrics: Metrics,
        lease: timedelta,
    ) -> None:
        self.consuming = False
        """Whether the subscriber read entries when last looked at."""
        self._redis = redis
        self._keys = keys
        self._subscriber = subscriber
        self._reclaimer = reclaimer
        self._fleet = fleet
        self._follower = follower
        self._replica = replica
        self._metrics = metrics
        self._lease = lease.total_seconds()
        self._ticked_at = time.monotonic()
        self._seen = False
        self._restart_at = 0.0
        self._pause = CHECK_SECONDS

    @property
    def alive(self) -> bool:
        return time.monotonic() - self._ticked_at < STALE_SECONDS

    @property
    def ready(self) -> bool:
        """Whether it reads chunks and has a model."""
        return self._replica.state == "ready" and self.consuming

    async def run(self) -> None:
        """Watch for ever."""
        for _ in until_cancelled():
            self._notice_a_gap()
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._meet()
                await self._heal()
                await self._fleet.refresh()
                self._report()
            except (RedisError, OSError, TimeoutError) as error:
                self._lose(error)
            except Exception:
                log.exception("the watchdog failed")
            await asyncio.sleep(CHECK_SECONDS)

    def _report(self) -> None:
        model = self._follower.current is not None
        if model and self.consuming and self._replica.state == "starting":
            self._replica.state = "ready"
            log.info("ready")
        self._replica.detail = "" if model else "waiting for a model"
        self._replica.extra = self._metrics.speed()

    def _notice_a_gap(self) -> None:
        """We were paused ourselves, perhaps the whole machine was: others may not have had time to renew."""
        now = time.monotonic()
        if now - self._ticked_at > max(self._lease / 2, 2 * PATIENCE):
            self._reclaimer.hold_off()
        self._ticked_at = now

    async def _meet(self) -> None:
        if self._seen:
            await self._redis.ping()
            return
        server: Any = await self._redis.info("server")
        if int(server["uptime_in_seconds"]) < self._lease:
            self._reclaimer.hold_off()  # it was away before we came
        for problem in await check_server(self._redis):
            log.warning("redis configuration", problem=problem)
        self._seen = True
        self._reclaimer.begin()

    def _lose(self, error: Exception) -> None:
        if self.consuming:
            log.warning("redis is away", error=str(error) or type(error).__name__)
        self.consuming = False
        self._reclaimer.hold_off()

    async def _heal(self) -> None:
        reader = self._subscriber
        looping = len(reader.tasks) > RESTARTS_TOLERATED
        if reader.running and not looping and any(not task.done() for task in reader.tasks):
            self.consuming, self._pause = True, CHECK_SECONDS
            return
        self.consuming = False
        if reader.running:
            log.error("the reader fails in a loop: starting it again", pause=self._pause)
            await reader.stop()
            self._restart_at = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, MOST_PAUSE)
        if time.monotonic() < self._restart_at:
            return
        await ensure_group(self._redis, self._keys.chunks, SCORERS_GROUP)
        await reader.start()
        self._metrics.healed.inc()
        log.info("reading chunks")
