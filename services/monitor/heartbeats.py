"""A heartbeat through the pipeline: the monitor puts it among the chunks, a scorer passes it on, the monitor sees it.

Without it, a pipeline that stands still looks like one that has nothing to do. Monitors share the heartbeat: whichever
finds that it is time sends one, whichever gets the event of a scorer notes it. All times are of Redis's clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis

from services.monitor.entries import Entry, read_event
from services.monitor.fold import InvalidEvent
from shared.events import HeartbeatPassed
from shared.keys import STATS_GROUP, Keys
from shared.scripts import HEARTBEAT
from shared.telemetry import get_logger

_SCRIPTS = Path(__file__).parent / "scripts"

log = get_logger(__name__)


@dataclass(frozen=True)
class Heartbeat:
    lag: float | None
    """Seconds that the newest one took that came through, or since when none has, whichever is more; null before the
    first is sent."""
    passed: float | None
    """When the newest that came through was sent, Unix seconds."""


class Heartbeats:
    def __init__(self, redis: Redis, keys: Keys, every: float) -> None:
        self._redis = redis
        self._keys = keys
        self._every = every
        self._beat = redis.register_script((_SCRIPTS / "beat.lua").read_text())
        self._passed = redis.register_script((_SCRIPTS / "passed.lua").read_text())

    async def send(self) -> bool:
        """Send one if it is time, and the last is not among the chunks any more; return whether that was so."""
        return bool(await self._beat(keys=[self._keys.heartbeat, self._keys.chunks], args=[self._every, HEARTBEAT]))

    async def on_heartbeat_passed(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            try:
                sent = read_event(HeartbeatPassed, entry).sent
            except InvalidEvent as invalid:
                log.error("invalid event", stream=entry.stream, entry=entry.id, reason=str(invalid))
                sent = 0.0  # older than any
            await self._passed(keys=[self._keys.heartbeat, entry.stream], args=[STATS_GROUP, entry.id, sent])


async def read_heartbeat(redis: Redis, keys: Keys) -> Heartbeat:
    async with redis.pipeline(transaction=True) as pipe:
        pipe.time()
        pipe.hmget(keys.heartbeat, ["waiting", "lag", "passed"])
        (seconds, micros), found = await pipe.execute()
    waiting, lag, passed = (None if value is None else float(value) for value in found)
    times = [lag, None if waiting is None else seconds + micros / 1e6 - waiting]
    known: list[float] = [t for t in times if t is not None]
    return Heartbeat(max(known, default=None), passed)
