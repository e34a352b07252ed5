"""A scorer put together, run and drained."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from faststream.redis import RedisBroker
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.scorer.chunk import ChunkWork
from services.scorer.finalise import Finaliser
from services.scorer.fleet import Fleet
from services.scorer.handlers import create_broker, start_without_memory, subscribe
from services.scorer.inputs import Inputs
from services.scorer.janitor import Janitor
from services.scorer.mend import Mender
from services.scorer.metrics import Metrics
from services.scorer.reclaim import Reclaimer
from services.scorer.restore import Restorer
from services.scorer.routes import create_app
from services.scorer.settings import ScorerSettings
from services.scorer.tidy import Tidier
from services.scorer.upkeep import Upkeep
from services.scorer.watchdog import Watchdog
from services.scorer.work import Worker
from shared.broker import connect
from shared.follower import ModelFollower
from shared.keys import Keys
from shared.lease import Lease
from shared.replica import Replica
from shared.scripts import JobQueue
from shared.store import Store
from shared.telemetry import get_logger

JANITOR_LEASE = timedelta(seconds=15)
CUT_OFF_SECONDS = 2.0  # for each last step of a drain, so that a lost Redis cannot hold it up

log = get_logger(__name__)


@dataclass(frozen=True)
class Scorer:
    app: Any
    replica: Replica
    chunks: ChunkWork
    worker: Worker
    redis: Redis
    broker: RedisBroker
    subscriber: Any
    consumers: tuple[str, str]
    upkeep: Upkeep
    queue: JobQueue
    follower: ModelFollower
    watchdog: Watchdog
    reclaimer: Reclaimer
    janitor: Janitor
    drain_seconds: float

    async def run(self) -> None:
        """Read, reclaim, follow the model and look after the queue, until cancelled."""
        await self.broker.connect()
        start_without_memory(self.subscriber)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.follower.run())
            tasks.create_task(self.janitor.run())
            watching = tasks.create_task(self.watchdog.run())
            reclaiming = tasks.create_task(self.reclaimer.run())
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                watching.cancel()  # it would start again what is being stopped
                await self._drain(reclaiming)
                raise

    async def _drain(self, reclaiming: asyncio.Task[None]) -> None:
        """Finish what is in work, and hand back what cannot be finished in time."""
        self.replica.state = "draining"
        await self.replica.announce()
        self.reclaimer.stop()
        reading = list(self.subscriber.tasks)
        stopping = asyncio.create_task(self.subscriber.stop())
        finishing = asyncio.create_task(self._finish(stopping, reclaiming))
        await asyncio.wait({finishing}, timeout=self.drain_seconds)
        for task in (*reading, reclaiming, stopping, finishing):
            task.cancel()
        await asyncio.wait({*reading, reclaiming, stopping, finishing}, timeout=CUT_OFF_SECONDS)
        await _briefly(self.worker.abandon())
        for consumer in self.consumers:
            await _briefly(self._hand_back(consumer))
        await _briefly(self.chunks.end())
        await _briefly(self.broker.stop())

    async def _finish(self, *ends: asyncio.Task[None]) -> None:
        await asyncio.wait(ends)
        await self.worker.written()

    async def _hand_back(self, consumer: str) -> None:
        for held in await self.upkeep.held_by(consumer):
            log.warning("handing a chunk back unfinished", **held.context)
            await self.queue.release(held)
        await self.upkeep.retire(consumer)


async def _briefly(step: Awaitable[None]) -> None:
    with suppress(RedisError, OSError, TimeoutError):
        await asyncio.wait_for(step, CUT_OFF_SECONDS)


def build(settings: ScorerSettings, address: str) -> Scorer:
    """The composition root: everything real is made here, and nothing is connected yet."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    redis, store, keys = connect(settings), Store.open(settings.store_url), Keys(settings.tenant)
    queue = JobQueue(redis, keys)
    upkeep = Upkeep(queue, redis)
    fleet = Fleet(redis, keys, settings.scorer_event_bytes)
    replica = Replica("scorer", settings, redis)
    replica.address = address
    follower = ModelFollower(settings, redis, store, replica, errors=True)
    inputs = Inputs(store, follower.models, settings.model_name)
    chunks = ChunkWork(settings, queue, store, inputs=inputs, fleet=fleet, metrics=metrics)
    finaliser = Finaliser(queue, store, settings.scorer_max_deliveries, inputs=inputs, metrics=metrics)
    worker = Worker(queue, store, settings.lease, inputs=inputs, chunks=chunks, finaliser=finaliser, metrics=metrics)
    # Two names, so that an entry taken over from ourselves is not mistaken for the one we lost.
    consumers = (f"{replica.id}-n", f"{replica.id}-r")
    reclaimer = Reclaimer(upkeep, worker, consumer=consumers[1], lease=settings.lease, metrics=metrics)
    broker = create_broker(settings, registry)
    subscriber = subscribe(broker, keys, consumers[0], worker, upkeep)
    watchdog = Watchdog(
        redis,
        keys,
        subscriber,
        reclaimer=reclaimer,
        fleet=fleet,
        follower=follower,
        replica=replica,
        metrics=metrics,
        lease=settings.lease,
    )
    metrics.show(replica, follower, lambda: watchdog.ready)
    restorer = Restorer(queue, upkeep, store, fleet=fleet, metrics=metrics, tenant=settings.tenant)
    mender = Mender(queue, upkeep, store, fleet=fleet, metrics=metrics)
    janitor = Janitor(
        Lease(redis, keys.lease("janitor"), JANITOR_LEASE),
        upkeep,
        restorer=restorer,
        mender=mender,
        tidier=Tidier(upkeep, store, retention=settings.job_retention, metrics=metrics),
        metrics=metrics,
        every=settings.scorer_janitor_seconds,
    )
    return Scorer(
        app=create_app(broker, replica, watchdog, registry),
        replica=replica,
        chunks=chunks,
        worker=worker,
        redis=redis,
        broker=broker,
        subscriber=subscriber,
        consumers=consumers,
        upkeep=upkeep,
        queue=queue,
        follower=follower,
        watchdog=watchdog,
        reclaimer=reclaimer,
        janitor=janitor,
        drain_seconds=settings.scorer_drain_seconds,
    )
