"""Looking at what runs: the replicas by their announcements in Redis, Valkey and MLflow by asking them."""

from collections.abc import Mapping, Sequence

import httpx
import psutil
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.keys import Keys
from shared.replica import ReplicaInfo, live_replicas
from tasador.stack.child import Child
from tasador.stack.state import ProcessInfo


class Watch:
    """Keeps the `state` of children true."""

    def __init__(self, redis: Redis, tenant: str, redis_address: str, mlflow_url: str) -> None:
        self._redis = redis
        self._keys = Keys(tenant)
        self._redis_address = redis_address
        self._mlflow_url = mlflow_url
        self._http = httpx.AsyncClient(timeout=2, trust_env=False)
        self.guests: list[ProcessInfo] = []
        """Replicas that somebody started by hand and that joined this stack."""

    async def look(self, children: Sequence[Child]) -> None:
        said = await self._announcements()
        for child in children:
            if child.service == "valkey":
                _note_valkey(child, said is not None, self._redis_address)
            elif child.service == "mlflow":
                await self._note_mlflow(child)
            elif said is not None:  # without Redis nothing new is known
                _note_replica(child, said)
        if said is not None:
            self.guests = _guests(said, children)

    async def close(self) -> None:
        await self._http.aclose()
        await self._redis.aclose()

    async def _announcements(self) -> dict[int, ReplicaInfo] | None:
        """Return them by pid; None when Redis does not answer, which says nothing about the replicas."""
        try:
            return {replica.pid: replica for replica in await live_replicas(self._redis, self._keys)}
        except (RedisError, OSError):
            return None

    async def _note_mlflow(self, child: Child) -> None:
        if child.pid is None or child.is_ready:
            return
        try:
            response = await self._http.get(f"{self._mlflow_url}/health")
        except httpx.HTTPError:
            return
        if response.is_success:
            child.now("ready", address=self._mlflow_url)


def _note_valkey(child: Child, answers: bool, address: str) -> None:
    if answers:
        child.now("ready", address=address)
    elif child.is_ready:
        child.now("silent", "does not answer")


def _note_replica(child: Child, said: Mapping[int, ReplicaInfo]) -> None:
    announcement = said.get(child.pid) if child.pid else None
    if announcement:
        child.now(announcement.state, announcement.detail, announcement.address, announcement.error)
    elif child.is_ready:
        child.now("silent", "has stopped announcing itself")


def _guests(said: Mapping[int, ReplicaInfo], children: Sequence[Child]) -> list[ProcessInfo]:
    ours = {child.pid for child in children}
    strangers = [replica for pid, replica in said.items() if pid not in ours and psutil.pid_exists(pid)]
    return [
        ProcessInfo(
            name=f"{replica.service}:{replica.id}",
            service=replica.service,
            pid=replica.pid,
            address=replica.address or None,
            state=replica.state,
            detail="started by hand",
        )
        for replica in strangers
    ]
