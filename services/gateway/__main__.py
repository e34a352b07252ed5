"""One gateway: `python -m services.gateway`. It boots from the store alone, without Redis, and without a champion."""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial

import uvicorn
import uvloop
from redis.asyncio import Redis

from services.gateway.admin import Admin
from services.gateway.app import Parts, create_app
from services.gateway.buffer import Buffer
from services.gateway.connection import GatewayProtocol
from services.gateway.dead_letters import Letters, dead_letters_router
from services.gateway.door import Door
from services.gateway.exchange import ExchangingProtocol
from services.gateway.feedback import Feedback
from services.gateway.fleet import Fleet
from services.gateway.immediate import ImmediateProtocol
from services.gateway.jobs import Jobs, JobWebhooks, jobs_router, webhooks_router
from services.gateway.models import Catalogue
from services.gateway.predict import Predictor
from services.gateway.publish import publisher
from services.gateway.settings import GatewaySettings
from services.gateway.sockets import Sockets, open_sockets
from services.gateway.tally import Tally
from services.gateway.telemetry import PredictionLogger
from services.gateway.trial import trial_of_exchanges, trial_of_immediate
from services.gateway.watch import Watch
from shared.broker import connect
from shared.follower import ModelFollower
from shared.keys import Keys
from shared.process import AddressInUse, address_of, stop_event, without_unused
from shared.replica import Replica
from shared.settings import SettingsInvalid
from shared.store import Store
from shared.tasks import end
from shared.telemetry import configure_logging, get_logger
from shared.webhooks.messages import Messages

LAST_EVENTS_SECONDS = 2.0  # to send the last telemetry, and
GOODBYE_SECONDS = 1.0  # to say goodbye to Redis; with the drain it stays below 20 s

SWITCH_SECONDS = 0.0005  # at 5 ms, the default, a single prediction beside batches takes twice as long

log = get_logger(__name__)


def build(settings: GatewaySettings, redis: Redis, store: Store, replica: Replica) -> Parts:
    keys = Keys(settings.tenant)
    follower = ModelFollower(settings, redis, store, replica)
    tally = Tally()
    logger = PredictionLogger(
        Buffer(replica.id, settings.gateway_telemetry_buffer, settings.gateway_telemetry_rows),
        publisher(redis, keys, settings.gateway_telemetry_bytes),
        seconds=settings.gateway_telemetry_seconds,
    )
    watch = Watch(redis, keys, follower, model_name=settings.model_name, seconds=settings.announce_seconds)
    catalogue = Catalogue(follower, store, redis, keys, settings.model_name)
    predictor = Predictor(
        follower,
        logger,
        max_rows=settings.gateway_max_batch_rows,
        max_batches=settings.gateway_max_batches,
    )
    admin = Admin(redis, keys, catalogue, lambda: watch.stopping)
    feedback = Feedback(settings, redis, tally)
    return Parts(settings, follower, replica, tally, logger, predictor, watch, catalogue, admin, feedback)


async def serve(settings: GatewaySettings, sockets: Sockets) -> None:
    """Serve until told to stop, then finish the requests and send what is left."""
    stop = stop_event()
    redis, store = connect(settings), Store.open(settings.store_url)
    replica = Replica("gateway", settings, redis)
    replica.address = settings.gateway_address or address_of(sockets.own)
    refused = await _fast_path_refused(settings)
    parts = replace(build(settings, redis, store, replica), fast_path_refused=refused)
    jobs = Jobs(settings, store, redis, parts.follower, lambda: parts.watch.stopping)
    letters = Letters(settings, store, redis, versions=jobs.versions, acceptance=jobs.acceptance)
    webhooks = JobWebhooks(jobs.lookup, Messages(redis, Keys(settings.tenant)), store, settings)
    routers = [jobs_router(jobs), webhooks_router(webhooks), dead_letters_router(letters, settings)]
    fleet = Fleet(sockets, parts.told)
    app = create_app(parts, routers, fleet)
    gc.collect()
    gc.freeze()  # looking through what stays for ever takes 80 ms, in which no prediction is answered
    fast = settings.gateway_fast_path and not refused
    protocol = partial(ImmediateProtocol, app.at_once) if fast else await _usual_protocol()
    server = uvicorn.Server(_server_config(app, protocol, settings))
    server.config.load()  # before the door needs it
    door = Door(sockets, server, lambda: _serves(parts.follower), fleet.others_serve) if sockets.shared else None
    async with _announced(replica, redis), asyncio.TaskGroup() as tasks:
        background = [
            tasks.create_task(work)
            for work in (parts.follower.run(), parts.watch.run(), parts.logger.run(), _show(parts))
        ]
        http = tasks.create_task(server._serve([sockets.own]))  # serve() would take the signals, and raise them again
        opened = [tasks.create_task(door.keep())] if door else []
        log.info("listening", address=replica.address)
        await asyncio.wait((http, asyncio.create_task(stop.wait())), return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping")
        parts.watch.stopping = True
        replica.state = "draining"
        await end(opened)
        if door:
            await door.leave()
        server.should_exit = True
        await http
        await end(background)
        await parts.logger.drain(LAST_EVENTS_SECONDS)
        parts.predictor.close()


@asynccontextmanager
async def _announced(replica: Replica, redis: Redis) -> AsyncIterator[None]:
    """Announce the replica meanwhile; the goodbye must not hang on a server that does not answer."""
    await replica.__aenter__()
    try:
        yield
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await replica.__aexit__(None, None, None)
                await redis.aclose()


def _serves(follower: ModelFollower) -> bool:
    """Whether it has the desired version, as far as it can know."""
    return follower.current is not None and follower.fresh


async def _show(parts: Parts) -> None:
    """Keep the announcement up to date."""
    while True:
        if not parts.watch.stopping:
            missing = parts.watch.missing()
            parts.replica.state = "starting" if missing else "ready"
            parts.replica.detail = "; ".join(missing)
        parts.replica.extra = {"in_flight": parts.tally.in_flight, "predictions": parts.logger.counted().total}
        await asyncio.sleep(parts.settings.announce_seconds / 2)


async def _fast_path_refused(settings: GatewaySettings) -> str:
    refused = await trial_of_immediate() if settings.gateway_fast_path else ""
    if refused:
        log.warning("the fast path does not work with this uvicorn", reason=refused, uvicorn=uvicorn.__version__)
    return refused


async def _usual_protocol() -> type[GatewayProtocol]:
    if refused := await trial_of_exchanges():
        log.warning("predictions take longer with this uvicorn", reason=refused, uvicorn=uvicorn.__version__)
    return GatewayProtocol if refused else ExchangingProtocol


def _server_config(app: object, protocol: object, settings: GatewaySettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=protocol,  # type: ignore[arg-type] # whatever makes one
        interface="asgi3",  # it does not look like one: `front` hands on what others return
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,  # 120 µs a request; the metrics count them
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=75,  # load balancers keep idle connections for 60 s, and must be the ones who close
        timeout_graceful_shutdown=settings.gateway_drain_seconds,
    )


def main() -> int:
    without_unused()
    try:
        settings = GatewaySettings.load()
        configure_logging("gateway", settings)
        sys.setswitchinterval(SWITCH_SECONDS)
        sockets = open_sockets(settings)
        with sockets.own, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings, sockets))
    except (SettingsInvalid, AddressInUse) as refused:
        sys.stderr.write(f"gateway: {refused}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
