"""What an operator asks of the pipeline: how far behind, how long the streams, how much waits, how many given up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from services.monitor.heartbeats import Heartbeat, read_heartbeat
from shared.keys import Keys

_TRIM = (Path(__file__).parent / "scripts" / "trim.lua").read_text()


@dataclass(frozen=True)
class Lag:
    """How far a group is behind on a stream."""

    entries: int
    """Not delivered yet, or delivered and not acknowledged."""
    seconds: float
    """Age of the oldest of them; 0 without any."""


@dataclass(frozen=True)
class Flow:
    backlog_rows: int
    """Rows of jobs accepted and not yet finished."""
    backlog_seconds: float | None
    """How long they take at the pace of late; null while rows wait and none were finished lately."""
    dead_letters: int
    stream_entries: dict[str, int]
    """Length of each stream by kind."""
    lag: dict[str, dict[str, Lag]]
    """By kind of event, then by group."""
    heartbeat: Heartbeat


@dataclass(frozen=True)
class Memory:
    """Of the server, in bytes."""

    used: int
    limit: int | None
    """maxmemory; None where it is not set."""


class Streams:
    """The monitor's view of the streams it reads.

    Args:
        groups: by kind of event, the groups that must have acknowledged an entry before it may be deleted.
    """

    def __init__(self, redis: Redis, keys: Keys, groups: Mapping[str, Sequence[str]]) -> None:
        self._redis = redis
        self._keys = keys
        self._groups = groups
        self._trim = redis.register_script(_TRIM)

    async def trim(self, gone_after: timedelta) -> int:
        """Delete entries that every group has acknowledged, and consumers that died; return how many entries."""
        deleted = 0
        for kind, groups in self._groups.items():
            milliseconds = int(gone_after.total_seconds() * 1000)
            deleted += int(await self._trim(keys=[self._keys.stream(kind)], args=[len(groups), *groups, milliseconds]))
        return deleted

    async def flow(self, now: float, job_rows_per_second: float) -> Flow:
        """Describe the pipeline.

        Args:
            job_rows_per_second: finished of late, those in error included.
        """
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.get(self._keys.backlog)
            pipe.zcard(self._keys.dead_letters)
            for kind in self._groups:
                pipe.xlen(self._keys.stream(kind))
            backlog, dead, *lengths = await pipe.execute()
        rows = int(backlog or 0)
        return Flow(
            backlog_rows=rows,
            backlog_seconds=backlog_seconds(rows, job_rows_per_second),
            dead_letters=int(dead),
            stream_entries=dict(zip(self._groups, map(int, lengths), strict=True)),
            lag={kind: await self._lags(kind, groups, now) for kind, groups in self._groups.items()},
            heartbeat=await read_heartbeat(self._redis, self._keys),
        )

    async def memory(self) -> Memory:
        found: Any = await self._redis.info("memory")
        return Memory(int(found["used_memory"]), int(found.get("maxmemory", 0)) or None)

    async def _lags(self, kind: str, groups: Sequence[str], now: float) -> dict[str, Lag]:
        stream = self._keys.stream(kind)
        try:
            found: list[dict[str, Any]] = await self._redis.xinfo_groups(stream)
        except ResponseError:  # no stream yet
            return {}
        return {g["name"]: await self._lag(stream, g, now) for g in found if g["name"] in groups}

    async def _lag(self, stream: str, group: Mapping[str, Any], now: float) -> Lag:
        delivered = str(group["last-delivered-id"])
        pending: Any = await self._redis.xpending(stream, group["name"])
        following: Any = await self._redis.xrange(stream, min=f"({delivered}", count=1)
        oldest = [pending["min"]] if pending["pending"] else []
        oldest += [entry_id for entry_id, _ in following[:1]]
        undelivered = group["lag"]
        if undelivered is None:  # unknown to the server after a deletion in the middle
            undelivered = len(following)
        age = max((now - _seconds(entry_id) for entry_id in oldest), default=0.0)
        return Lag(int(undelivered) + int(pending["pending"]), max(age, 0.0))


def backlog_seconds(rows: int, per_second: float) -> float | None:
    if rows <= 0:
        return 0.0
    return rows / per_second if per_second > 0 else None


def _seconds(entry_id: str) -> float:
    return int(entry_id.split("-", maxsplit=1)[0]) / 1000
