"""Real scorers, a real store, and chunks that only sleep."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

from redis.asyncio import Redis

from benchmarks.gateways import a_valkey
from benchmarks.queue.moments import Moment, Work, see
from benchmarks.servers import NotStarted, Server
from shared import artifact
from shared.broker import ensure_group, is_up
from shared.engine import load_model
from shared.jobs import JobSpec
from shared.kernel import NAME
from shared.keys import SCORERS_GROUP, Keys
from shared.scripts import JobQueue
from shared.settings import PREFIX
from shared.store import Store
from tests import faulty
from tests.artifacts import an_artifact
from tests.faulty import Faults
from tests.scorers import Jobs, ready_scorers

ROW_SECONDS = 0.002
IN_ONE_PROCESS = 8
MOST_CHUNKS = 250  # a second, of two cores: more would only make the job longer
FEWEST_EACH = 10
LOOKS = 10  # during a chunk, at how far the job is
READY_SECONDS, STANDS_SECONDS, PAUSE = 120.0, 60.0, 0.02
TAIL = 0.1  # of the job, at its beginning and at its end, which is not measured


def stand(directory: Path, scorers: int, sleeps: Sequence[float], seconds: float) -> tuple[Work, Sequence[Work]]:
    """Run so many scorers: idle for so long, and then with a job of about that length for each of the sleeps."""
    return asyncio.run(_stand(directory, scorers, sleeps, seconds))


async def jobs_for(redis: Redis, directory: Path) -> Jobs:
    """Make a store with a small forest in service, and return who submits jobs for it. Raises NotStarted."""
    await _until(lambda: is_up(redis), "Valkey")
    (directory / "store").mkdir(parents=True)
    store, keys = Store.open((directory / "store").as_uri()), Keys()
    digest = await an_artifact(store, engine=NAME)
    await artifact.write_champion(store, "model", artifact.Champion(version="1", epoch=1, digest=digest))
    await ensure_group(redis, keys.chunks, SCORERS_GROUP)
    return Jobs(JobQueue(redis, keys), store, load_model(await artifact.fetch(store, "model", "1")))


async def _stand(directory: Path, scorers: int, sleeps: Sequence[float], seconds: float) -> tuple[Work, Sequence[Work]]:
    sizes = [min(IN_ONE_PROCESS, scorers - first) for first in range(0, scorers, IN_ONE_PROCESS)]
    with ExitStack() as stack:
        url, valkey = stack.enter_context(a_valkey(directory, core=None))
        async with Redis.from_url(url, decode_responses=True) as redis:
            jobs = await jobs_for(redis, directory)
            environment = _environment(directory, url, jobs.store)
            servers = [
                stack.enter_context(_scorers(directory, environment, f"process-{number}", size))
                for number, size in enumerate(sizes)
            ]

            async def all_ready() -> bool:
                return len(await ready_scorers(redis)) == scorers

            await _until(all_ready, f"{scorers} scorers")
            fleet = _Fleet(scorers, redis, jobs, partial(see, redis, valkey, servers))
            return await fleet.idle(seconds), [await fleet.sleep(sleep, seconds) for sleep in sleeps]


@dataclass(frozen=True)
class _Fleet:
    """Scorers that are ready."""

    number: int
    redis: Redis
    jobs: Jobs
    look: Callable[[], Awaitable[Moment]]

    async def idle(self, seconds: float) -> Work:
        before = await self.look()
        await asyncio.sleep(seconds)
        return Work(self.number, 0, (await self.look()).since(before))

    async def sleep(self, sleep: float, seconds: float) -> Work:
        """Run a job; what passes between its beginning and its end, with all scorers at work, is measured."""
        rows = round(sleep / ROW_SECONDS)
        chunks = max(FEWEST_EACH * self.number, round(seconds * min(self.number / sleep, MOST_CHUNKS)))
        spec = await self.jobs.submit(self.jobs.rows(rows * chunks), chunk_rows=rows)
        progress = Progress(self.redis, spec, sleep / LOOKS)
        first = await progress.reach(TAIL)
        before, asked = await self.look(), progress.asked
        last = await progress.reach(1 - TAIL)
        passed, asked = (await self.look()).since(before), progress.asked - asked
        await progress.reach(1)
        theirs = passed._replace(trips=passed.trips - asked, commands=passed.commands - asked)
        return Work(self.number, (last - first) / rows, theirs, sleep)


def _scorers(directory: Path, environment: Mapping[str, str], name: str, number: int) -> Server:
    command = [sys.executable, "-m", "benchmarks.queue.scorers", name, str(number)]
    return Server(command, directory, core=None, environment=environment)


def _environment(directory: Path, url: str, store: Store) -> dict[str, str]:
    chosen = {"redis_url": url, "store_url": store.url, "state_dir": directory, "model_name": "model"}
    chosen["log_level"] = "warning"
    settings = {PREFIX + name.upper(): str(value) for name, value in chosen.items()}
    return settings | faulty.environment(Faults(seconds_per_row=ROW_SECONDS))


class Progress:
    """How far a job is; asking is the benchmark's doing, and counted."""

    def __init__(self, redis: Redis, spec: JobSpec, pause: float) -> None:
        self.asked = 0
        self._redis = redis
        self._spec = spec
        self._pause = pause

    async def reach(self, share: float) -> int:
        """Wait until this share of the job is done; return how many rows that are. Raises NotStarted when it stands."""
        key, last, moved = Keys().job(self._spec.id), -1, time.monotonic()
        while True:
            self.asked += 1
            done = int(await cast(Awaitable[str | None], self._redis.hget(key, "done")) or 0)
            if done >= share * self._spec.rows:
                return done
            if done > last:
                last, moved = done, time.monotonic()
            elif time.monotonic() > moved + STANDS_SECONDS:
                raise NotStarted(
                    f"no chunk was done for {STANDS_SECONDS:.0f} s, after {done} of {self._spec.rows} rows"
                )
            await asyncio.sleep(self._pause)


async def _until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not await condition():
        if time.monotonic() > deadline:
            raise NotStarted(f"{what}: not ready within {READY_SECONDS:.0f} s")
        await asyncio.sleep(PAUSE)
