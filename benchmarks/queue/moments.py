"""How far everything is at a moment; the difference of two is what happened in between."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import psutil
from redis.asyncio import Redis

from benchmarks.servers import Server


class Moment(NamedTuple):
    at: float
    machine: float
    """Processor's seconds of everything that runs here, as the next two."""
    valkey: float
    others: float
    """Scorers, or whoever else works."""
    awake: float
    """Seconds of Valkey's one thread in which it did not wait for clients."""
    syncing: float
    """Of these, writing and syncing the append-only file."""
    trips: float
    """Answers to clients."""
    commands: float
    """With those that scripts call."""
    syncs: float
    """Of the append-only file."""
    written: float
    """Bytes of the append-only file."""

    def since(self, earlier: Self) -> Self:
        return type(self)(*(after - before for before, after in zip(earlier, self, strict=True)))


async def see(redis: Redis, valkey: Server, others: Sequence[Server]) -> Moment:
    """Look at a Valkey that syncs always: what it writes and sends to nobody is its log, with a sync each time."""
    info: Any = {**await redis.info(), **await redis.info("debug")}
    output = valkey.processes()[0].io_counters()
    times = psutil.cpu_times()
    return Moment(
        at=time.monotonic(),
        machine=times.user + times.nice + times.system + times.irq + times.softirq + times.steal,
        valkey=info["used_cpu_sys"] + info["used_cpu_user"],
        others=sum(server.busy() for server in others),
        awake=info["used_active_time_main_thread"],
        syncing=info["eventloop_duration_aof_sum"] / 1e6,
        trips=info["total_writes_processed"],  # of answers; a question may be read in two pieces
        commands=info["total_commands_processed"],
        syncs=output.write_count - info["total_writes_processed"],
        written=output.write_chars - info["total_net_output_bytes"],
    )


@dataclass(frozen=True)
class Work:
    """What passed while so many chunks were done."""

    hands: int
    """Scorers, or consumers."""
    chunks: float
    passed: Moment
    seconds: float = 0.0
    """That a chunk sleeps."""

    @property
    def rate(self) -> float:
        return self.chunks / self.passed.at

    @property
    def cycle(self) -> float:
        """Seconds from one chunk to the next one of the same scorer."""
        return self.hands / self.rate

    def each(self, name: str) -> float:
        """Return what of a figure falls to a chunk."""
        return float(getattr(self.passed, name)) / self.chunks

    def share(self, name: str) -> float:
        """Return what of a figure falls to a second."""
        return float(getattr(self.passed, name)) / self.passed.at
