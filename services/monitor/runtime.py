"""A running monitor: its background work, and how it starts and stops."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.monitor.buckets import Buckets
from services.monitor.consumers import Consumers
from services.monitor.feedback.joiner import Joiner
from services.monitor.flow import Streams
from services.monitor.heartbeats import Heartbeats
from services.monitor.leader import Leader
from services.monitor.live_quality import LiveQuality
from services.monitor.log.purge import Purge
from services.monitor.log.tidy import LogKeeper
from services.monitor.log.writer import PredictionLog
from services.monitor.metrics import Metrics, Snapshot
from services.monitor.monitor import Monitor, NoModel
from services.monitor.report.reporter import Reporter
from services.monitor.watch import Watch
from services.monitor.webhooks import Webhooks
from shared.broker import check_server
from shared.replica import Replica
from shared.telemetry import get_logger

TRIM_SECONDS = 1.0
RETIRE_SECONDS = 600.0
FOLLOW_SECONDS = 10.0
CONSUMER_GONE = timedelta(minutes=10)
STEP_SECONDS = 0.5

log = get_logger(__name__)


@dataclass
class Runtime:
    """The parts of one process, built by `__main__`."""

    redis: Redis
    replica: Replica
    monitor: Monitor
    quality: LiveQuality
    joiner: Joiner
    reporter: Reporter
    buckets: Buckets
    streams: Streams
    consumers: Consumers
    heartbeats: Heartbeats
    log: PredictionLog
    keeper: LogKeeper
    purge: Purge
    webhooks: Webhooks
    metrics: Metrics
    tidy_seconds: float
    watch: Watch
    leader: Leader
    drain: timedelta
    started: float = field(default_factory=time.monotonic)
    was_ready: bool = False
    """Latched once everything was there: a monitor stays in rotation while Redis is away."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run everything for the length of a block; then finish what was begun, and write the log."""
        work = [
            self.consumers.run(),
            self.log.run(),
            self.webhooks.run(),
            self._every(TRIM_SECONDS, self._trim),
            self._every(STEP_SECONDS, self._beat),
            self._every(RETIRE_SECONDS, self._retire),
            self.leader.run(),
            self.joiner.run(),
            self._every(FOLLOW_SECONDS, self._follow),
            self._every(self.tidy_seconds, self.keeper.tidy),
            self._every(STEP_SECONDS, self._report_state),
        ]
        async with self.replica:
            tasks = [asyncio.create_task(each) for each in work]
            try:
                yield
            finally:
                self.replica.state = "draining"
                await self._stop(tasks)
        await self.redis.aclose()

    async def snapshot(self) -> Snapshot:
        """Return everything that Prometheus is told; what cannot be read now is left out."""
        found = Snapshot(redis_up=False, consuming=self.consumers.consuming)
        try:
            stats, totals, memory = await self.monitor.stats(), await self.monitor.totals(), await self.streams.memory()
            found = Snapshot(
                redis_up=True,
                consuming=self.consumers.consuming,
                stats=stats,
                totals=totals,
                memory=memory,
                watched=await self.watch.read(),
                quality=await self.quality.report(),
            )
            return Snapshot(**{**vars(found), "drift": await self.monitor.drift()})
        except NoModel:
            return found
        except (RedisError, OSError) as error:
            log.warning("cannot read the counters for a scrape", error=str(error))
            return found

    async def _stop(self, tasks: list[asyncio.Task[None]]) -> None:
        # Again and again: redis-py swallows a cancellation now and then, and the task would go on to its next pause.
        left = set(tasks)
        while left:
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=0.5)
        webhooks = asyncio.create_task(self.webhooks.stop(self.drain))
        try:
            async with asyncio.timeout(self.drain.total_seconds()):
                await self.consumers.stop()
                await self.joiner.stop()
                if not await self.log.flush():
                    log.warning("the prediction log was not finished; another monitor or the next start does it")
        except TimeoutError:
            log.warning("stopping before everything was finished; another monitor or the next start does it")
        await webhooks

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except (RedisError, OSError, NoModel) as error:
                log.debug("cannot do this now", error=str(error))
            except Exception:  # a bug in one of these must not end the others
                log.exception("background work failed")
            await asyncio.sleep(seconds)

    async def _trim(self) -> None:
        await self.streams.trim(CONSUMER_GONE)

    async def _beat(self) -> None:
        await self.heartbeats.send()

    async def _retire(self) -> None:
        await self.buckets.retire(time.time())
        for problem in await check_server(self.redis):
            log.warning("redis is not set up as it should be", problem=problem)

    async def _follow(self) -> None:
        self.replica.version = (await self.monitor.champion()).version

    async def _report_state(self) -> None:
        if self.consumers.consuming:
            self.was_ready = True
        self.replica.state = "ready" if self.was_ready else "starting"
        self.replica.detail = "" if self.consumers.consuming else "waiting for Redis"
