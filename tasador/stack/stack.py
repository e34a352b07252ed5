"""All processes of one stack: in which order they start and end, and what is published about them."""

import asyncio
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import psutil

from tasador.stack.child import Child, Death
from tasador.stack.commands import Layout
from tasador.stack.refused import Refused
from tasador.stack.spawn import Command
from tasador.stack.state import ProcessInfo, StackState
from tasador.stack.valkey import answers, impatient_client
from tasador.stack.watch import Watch

SERVICES_GRACE = 45.0
"""Seconds to drain in: a scorer hands its chunk back, the trainer ends its training."""
VALKEY_GRACE = 8.0
REDIS_PATIENCE = 60.0
"""Seconds; a large append-only file takes a while to load."""
GIVE_UP_AFTER = 5
"""Deaths in a row of a process that has never been ready, before the first start counts as failed."""


USAGE = 2
"""Exit code of a service that refuses its settings: another start would end the same."""


class StartFailed(Exception):
    """Waiting longer would not make the stack ready; `str()` says why."""


@dataclass(frozen=True)
class Plan:
    """What to run."""

    where: Layout
    tenant: str
    valkey: Command | None
    """None: the Redis at `where.redis_url` is somebody else's."""
    services: tuple[Command, ...]
    mlflow: Command | None


class Stack:
    """Runs a plan: Valkey starts first and ends last."""

    def __init__(self, plan: Plan, on_change: Callable[[StackState], bool], on_death: Callable[[Death], None]) -> None:
        def children(*commands: Command | None) -> list[Child]:
            return [Child(each, plan.where.log(each.name), on_death) for each in commands if each]

        self.ready = False
        self._plan = plan
        self._on_change = on_change
        self._valkey = children(plan.valkey)
        self._services = children(*plan.services)
        self._mlflow = children(plan.mlflow)
        self._redis = impatient_client(plan.where.redis_url)
        self._watch = Watch(self._redis, plan.tenant, plan.where.redis_url, plan.where.mlflow_url)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._published: StackState | None = None
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._created = psutil.Process().create_time()

    async def start(self) -> None:
        """Return when every service is ready; MLflow's pages follow.

        Raises:
            StartFailed: a process keeps ending by itself, or there is no champion and training failed.
        """
        self._tasks["watch"] = asyncio.create_task(self._keep_looking())
        self._run(self._valkey)
        await self._redis_answers()
        self._run(self._services)
        while not all(child.is_ready for child in self._services):
            self._refuse_hopeless(self._services)
            await asyncio.sleep(0.05)
        self.ready = True
        # MLflow needs a processor for ten seconds, which the services are spared while they start.
        self._run(self._mlflow)

    async def end(self, hurry: asyncio.Event) -> None:
        """End everything, the services first; `hurry` ends the patience."""
        self._stop_looking()
        await self._end([*self._services, *self._mlflow], SERVICES_GRACE, hurry)
        await self._end(self._valkey, VALKEY_GRACE, hurry)
        await self._watch.close()

    def restart(self, services: Collection[str]) -> list[str]:
        """Restart every replica of some services, because their code changed; return their names."""
        concerned = [child for child in self._services if child.service in services]
        for child in concerned:
            child.restart()
        return [child.name for child in concerned]

    def publish(self) -> None:
        """Pass on what is known, if it is news; again and again until it was taken."""
        state = self.state()
        if state != self._published and self._on_change(state):
            self._published = state

    def _run(self, children: Sequence[Child]) -> None:
        for child in children:
            self._tasks[child.name] = asyncio.create_task(child.keep_alive())
        self.publish()

    async def _redis_answers(self) -> None:
        try:
            async with asyncio.timeout(REDIS_PATIENCE):
                while not await answers(self._redis):
                    self._refuse_hopeless(self._valkey)
                    await asyncio.sleep(0.05)
        except Refused as refused:
            raise StartFailed(str(refused)) from None
        except TimeoutError:
            raise StartFailed(f"Redis did not answer within {REDIS_PATIENCE:.0f} s") from None

    def _refuse_hopeless(self, children: Sequence[Child]) -> None:
        for child in children:
            task = self._tasks.get(child.name)
            if task and task.done() and (error := task.exception()):
                raise StartFailed(f"{child.name} could not be started: {error}")
            if child.failures and child.last_code == USAGE:
                raise StartFailed(f"{child.name} refuses its settings, see above")
            if child.failures >= GIVE_UP_AFTER:
                raise StartFailed(f"{child.name} ended {child.failures} times in a row; see {child.log}")
            if child.service == "trainer" and child.is_ready and child.error:
                raise StartFailed(f"there is no model to serve, and training one failed: {child.error}")

    async def _keep_looking(self) -> None:
        while True:
            await self._watch.look(self._children())
            self.publish()
            await asyncio.sleep(1.0 if self.ready else 0.2)

    def _stop_looking(self) -> None:
        watch = self._tasks.pop("watch", None)
        if watch:
            watch.cancel()

    async def _end(self, children: Sequence[Child], grace: float, hurry: asyncio.Event) -> None:
        for child in children:
            child.end()
        self.publish()
        tasks = [self._tasks[child.name] for child in children if child.name in self._tasks]
        if not tasks:
            return
        all_gone = asyncio.create_task(_settle(tasks))
        hurried = asyncio.create_task(_wait(hurry))
        await asyncio.wait({all_gone, hurried}, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        for child in children:
            child.kill()
        await all_gone
        self.publish()

    def _children(self) -> list[Child]:
        return [*self._valkey, *self._services, *self._mlflow]

    def state(self) -> StackState:
        where = self._plan.where
        return StackState(
            pid=os.getpid(),
            created=self._created,
            started_at=self._started_at,
            ready=self.ready,
            redis_url=where.redis_url,
            store_url=where.store_url,
            mlflow_uri=where.mlflow_uri,
            model_name=where.model_name,
            gateway_url=where.gateway_url,
            monitor_url=where.monitor_url,
            mlflow_url=where.mlflow_url if self._mlflow else None,
            processes=[*map(_info, self._children()), *self._watch.guests],
        )


async def _settle(tasks: Sequence[asyncio.Task[None]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


def _info(child: Child) -> ProcessInfo:
    return ProcessInfo(
        name=child.name,
        service=child.service,
        pid=child.pid,
        address=child.address,
        state=child.state,
        detail=child.detail,
        created=child.created,
    )
