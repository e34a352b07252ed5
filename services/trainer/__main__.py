"""One trainer: `python -m services.trainer`, or with `--once` train and promote in the foreground, then end."""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import uvicorn
from redis.exceptions import RedisError

from services.trainer.alias import MlflowRegistry
from services.trainer.commands import CommandFailed, Lane
from services.trainer.metrics import Metrics
from services.trainer.promote import Promoter
from services.trainer.routes import create_app
from services.trainer.schedule import Schedule
from services.trainer.settings import TrainerSettings
from services.trainer.trainer import RegistryAway, Trainer
from shared.artifact import ArtifactInvalid
from shared.broker import check_server, connect, refusal
from shared.events import PromotionRequested, ReloadRequested, RetrainRequested, RollbackRequested
from shared.keys import Keys
from shared.lease import Lease, LeaseTaken
from shared.params import ParamsInvalid, load_params
from shared.process import AddressInUse, address_of, listen, stop_event
from shared.replica import Replica
from shared.settings import SettingsInvalid
from shared.store import Store
from shared.tasks import end, until_cancelled
from shared.telemetry import configure_logging, get_logger

MIRROR_AFTER = 30.0  # seconds: it takes some of a processor, and a start has better use for them
STOPPED = 130  # the exit code of what Ctrl-C ended

log = get_logger(__name__)


class LeadershipLost(RuntimeError):
    """Another trainer has taken over; this one must not go on writing."""


@asynccontextmanager
async def build(settings: TrainerSettings) -> AsyncIterator[Trainer]:
    redis = connect(settings)
    store = Store.open(settings.store_url)
    deadline = timedelta(seconds=load_params(settings.params_path).promotion.deadline)
    metrics = Metrics()
    registry = MlflowRegistry(settings.mlflow_uri)
    promoter = Promoter(settings, store, redis, registry, deadline, counted=metrics.count_promotion)
    try:
        async with Replica("trainer", settings, redis) as replica:
            metrics.show(replica)
            yield Trainer(settings, store, redis, promoter, replica, metrics)
    finally:
        await redis.aclose()


async def once(settings: TrainerSettings) -> int:
    """Train and promote now; the exit code says how it went."""

    async def quiet(_: str) -> None:
        return

    async def work(trainer: Trainer) -> int:
        try:
            await trainer.promoter.recover()
            result = await trainer.train_and_promote("trained by hand", quiet)
        except (CommandFailed, LeaseTaken, ArtifactInvalid) as failed:
            log.error("training failed", error=str(failed))
            return 1
        await trainer.promoter.mirror.tried()
        log.info("done", **result)
        return 0

    async with build(settings) as trainer:
        stop = stop_event()
        working = asyncio.create_task(work(trainer))
        await asyncio.wait((working, asyncio.create_task(stop.wait())), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            log.info("stopping")
            await end([working])
        return STOPPED if working.cancelled() else working.result()


async def serve(settings: TrainerSettings) -> int:
    """Take commands until told to stop."""
    with listen(settings.trainer_host, settings.trainer_port, "TASADOR_TRAINER_PORT") as bound:
        async with build(settings) as trainer:
            trainer.replica.address = address_of(bound)
            app = create_app(trainer.replica, trainer.metrics.registry)
            server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", access_log=False))
            stop = stop_event()
            async with asyncio.TaskGroup() as tasks:
                http = tasks.create_task(server._serve([bound]))
                work = tasks.create_task(_lead(settings, trainer))
                await stop.wait()
                log.info("stopping")
                server.should_exit = True
                await end([work])
                await http
    return 0


async def _lead(settings: TrainerSettings, trainer: Trainer) -> None:
    """Wait until no other trainer leads, then recover, bootstrap and carry out commands."""
    lease = Lease(
        trainer.redis, Keys(settings.tenant).lease("trainer"), timedelta(seconds=settings.trainer_lease_seconds)
    )
    await _acquire(lease, trainer.replica)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_keep(lease, settings.trainer_lease_seconds))
            trainer.promoter.mirror.tell(after=MIRROR_AFTER)  # MLflow may have been away when it was to be told
            await _prepare(trainer)
            for lane in _lanes(settings, trainer):
                tasks.create_task(lane.run())
            keys = Keys(settings.tenant)
            tasks.create_task(Schedule(trainer.redis, keys, settings.model_name, settings.params_path).run())
            tasks.create_task(trainer.promoter.keep_published(settings.poll_seconds))
    finally:
        with suppress(RedisError, OSError):
            await lease.release()


async def _prepare(trainer: Trainer) -> None:
    """Recover and bootstrap. Without a champion the trainer still takes commands: a better data set, say."""
    for _ in until_cancelled():
        try:
            for problem in await check_server(trainer.redis):
                log.warning("redis configuration", problem=problem)
            await trainer.promoter.recover()
            await trainer.bootstrap()
            trainer.replica.error = None
        except (RedisError, OSError, LeaseTaken, RegistryAway) as error:
            log.warning("not ready yet", error=str(error))
            trainer.replica.state, trainer.replica.error = "starting", str(error)
            await trainer.replica.announce()
            await asyncio.sleep(1)
            continue
        except (CommandFailed, ArtifactInvalid) as failed:
            log.error("there is no champion", error=str(failed))
            trainer.replica.error = str(failed)
        trainer.replica.state, trainer.replica.detail = "ready", ""
        await trainer.replica.announce()
        return


def _lanes(settings: TrainerSettings, trainer: Trainer) -> tuple[Lane, Lane]:
    """Promotions do not wait for trainings; each lane carries out one command at a time."""
    keys = Keys(settings.tenant)
    trainings = Lane(trainer.redis, keys, {RetrainRequested: trainer.on_retrain_requested})
    promotions = Lane(
        trainer.redis,
        keys,
        {
            PromotionRequested: trainer.on_promotion_requested,
            RollbackRequested: trainer.on_rollback_requested,
            ReloadRequested: trainer.on_reload_requested,
        },
    )
    return trainings, promotions


async def _acquire(lease: Lease, replica: Replica) -> None:
    for _ in until_cancelled():
        try:
            if await lease.acquire():
                return
            replica.state, replica.detail = "standby", "another trainer leads"
        except (RedisError, OSError) as error:
            log.debug("redis is away", error=str(error))
        await asyncio.sleep(1)


async def _keep(lease: Lease, seconds: float) -> None:
    for _ in until_cancelled():
        await asyncio.sleep(seconds / 3)
        try:
            kept = await lease.acquire()  # after an outage it may have expired without another trainer taking it
        except (RedisError, OSError):
            continue
        if not kept:
            raise LeadershipLost("another trainer leads now")


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m services.trainer", description=__doc__)
    arguments.add_argument("--once", action="store_true", help="train and promote once, in the foreground")
    chosen = arguments.parse_args()
    try:
        settings = TrainerSettings.load()
        configure_logging("trainer", settings)
        return _run(once(settings) if chosen.once else serve(settings))
    except (SettingsInvalid, ParamsInvalid, AddressInUse) as refused:
        print(f"trainer: {refused}", file=sys.stderr)  # noqa: T201 - the logger may not be set up yet
        return 2
    except (RedisError, OSError) as away:
        if why := refusal(away):
            log.error("redis refuses us", error=why)
        else:
            log.error("redis or the store is away: start them, or set TASADOR_REDIS_URL", error=str(away))
        return 1


def _run(work: Coroutine[None, None, int]) -> int:
    try:
        return asyncio.run(work)
    except* LeadershipLost:
        log.error("another trainer leads: ending")
    return 1


if __name__ == "__main__":
    sys.exit(main())
