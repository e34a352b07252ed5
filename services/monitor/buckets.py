"""Counters in Redis: where events are counted once, and windows are read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.monitor.fold import Minutes, by_span
from services.monitor.layout import Packed, layout_of, total
from services.monitor.windows import HOUR, MINUTE, Window, lifetimes
from shared.keys import Keys
from shared.lua import assembled
from shared.profile import Profile, Summary, merge
from shared.replica import live_replicas

PAGE = 1 << 16  # events per bitmap: 8 KB
SEEN_SECONDS = 86_400  # after the last event of a page; by then nobody sends one of them again
INTEGER = 8  # bytes
INVALID = "invalid"  # counter beside those of the replicas
READ_AT_ONCE = 64  # buckets per round trip: the server answers others in between

_SCRIPTS = Path(__file__).parent / "scripts"


Target = tuple[Packed, Sequence[tuple[str, int]]]
"""Increments, and the buckets that they are for, each with when it expires (Unix time; 0: never)."""


def with_prelude(script: str) -> str:
    """Return a script with what scripts share, behind its first line."""
    return assembled(script, (_SCRIPTS / "prelude.lua").read_text())


def packed_arguments(targets: Sequence[Target]) -> tuple[list[str], list[str | int | float]]:
    """Return keys and arguments as the scripts' `add_counters` takes them."""
    names: list[str] = []
    arguments: list[str | int | float] = [len(targets)]
    for counters, buckets in targets:
        names += [name for name, _ in buckets]
        arguments += [len(buckets), *(expires for _, expires in buckets), len(counters)]
        arguments += [number for counter in counters for number in counter]
    return names, arguments


@dataclass(frozen=True)
class Progress:
    """How far a gateway's log of predictions has come with an event."""

    replica: str
    rows: int
    answered: int
    """Rows that the replica had answered up to the end of the event."""


@dataclass(frozen=True)
class Application:
    """What one stream entry adds to the counters."""

    stream: str
    entry_id: str
    once: tuple[str, int] | None = None
    """Producer and number of the event: a second entry with the same ones is not counted."""
    progress: Progress | None = None
    version: tuple[str, str] | None = None
    """Model name and version that predicted."""
    profile: Profile | None = None
    """Of the version, where it can be read."""
    minutes: Minutes = field(default_factory=dict)
    others: Mapping[str, Summary] = field(default_factory=dict)
    """Counters of hashes, by key; they do not expire."""
    happened: float | None = None
    """When the oldest of what it tells was, Unix seconds."""
    job: Mapping[str, object] = field(default_factory=dict)
    """What the log says of a job that ended, once it was counted."""


@dataclass(frozen=True)
class Received:
    """What gateways answered, against what was counted here."""

    rows: int
    answered: int
    invalid: int
    """Events that could not be read."""

    @property
    def dropped(self) -> int:
        """Rows answered that are in no counter: refused by a full Redis, lost with it, or not arrived yet."""
        return max(0, self.answered - self.rows)


class Buckets:
    """The monitor's counters of one tenant. Safe to use from several monitors at once."""

    def __init__(self, redis: Redis, keys: Keys, group: str, consumer: str, keep_days: int) -> None:
        self._redis = redis
        self._keys = keys
        self._group = group
        self._consumer = consumer
        self._keep_days = keep_days
        self._lifetimes = lifetimes(keep_days)
        self._apply = redis.register_script(with_prelude((_SCRIPTS / "apply.lua").read_text()))
        self._retire = redis.register_script((_SCRIPTS / "retire.lua").read_text())

    async def apply(self, applications: Sequence[Application], now: float) -> list[str]:
        """Count and acknowledge entries.

        Returns:
            Per entry `applied`, `duplicate`, `lost` (somebody else took it over) or `failed` (it stays pending).
        """
        outcomes: list[str] = []
        for application in applications:
            # One call each, on purpose: a pipeline of scripts would hold every caller of the server up for its length.
            try:
                outcomes.append(str(await self._apply(*self._arguments(application, now))))
            except (RedisError, OSError):
                outcomes.append("failed")
        return outcomes

    async def read(self, model: str, version: str, profile: Profile | None, window: Window) -> Summary:
        """Return the sum of a window's buckets.

        Args:
            profile: of the version; without it, only what does not depend on it.
        """
        return (await self.series(model, version, profile, [window]))[0]

    async def series(
        self, model: str, version: str, profile: Profile | None, windows: Sequence[Window]
    ) -> list[Summary]:
        """Return the sum of each window's buckets, which are read but once."""
        layout = layout_of(profile)
        names = {(w.span, n): self._keys.bucket(model, version, w.span, n) for w in windows for n in w.numbers}
        found = dict(zip(names, await self._strings(list(names.values())), strict=True))
        return [layout.unpack(total([found[w.span, n] for n in w.numbers])) for w in windows]

    async def rows(self, model: str, version: str, window: Window) -> dict[int, int]:
        """Return how many rows each bucket of a window has summarised."""
        first = layout_of(None).rows * INTEGER
        async with self._redis.pipeline(transaction=False) as pipe:
            for number in window.numbers:
                name = self._keys.bucket(model, version, window.span, number)
                pipe.execute_command("GETRANGE", name, first, first + INTEGER - 1, NEVER_DECODE=True)
            found = await pipe.execute()
        return {
            number: int.from_bytes(n, "big", signed=True) for number, n in zip(window.numbers, found, strict=True) if n
        }

    async def totals(self, model: str, version: str, profile: Profile | None) -> Summary:
        """Return the counters of a version since ever; those of features are not kept for so long."""
        return layout_of(profile).unpack(total(await self._strings([self._keys.totals(model, version)])))

    async def together(self, model: str, versions: Iterable[str]) -> Summary:
        """Return the counters of several versions since ever, added up: those that depend on no profile."""
        return layout_of(None).unpack(total(await self._strings([self._keys.totals(model, v) for v in versions])))

    async def _strings(self, names: Sequence[str]) -> list[bytes | None]:
        found: list[bytes | None] = []
        for start in range(0, len(names), READ_AT_ONCE):
            async with self._redis.pipeline(transaction=False) as pipe:
                for name in names[start : start + READ_AT_ONCE]:
                    pipe.execute_command("GET", name, NEVER_DECODE=True)  # no text, as everything else here is
                found += await pipe.execute()
        return found

    async def counters(self, key: str) -> Summary:
        found: Any = await self._redis.hgetall(key)
        return {name: int(count) for name, count in found.items()}

    async def versions(self, model: str) -> dict[str, float]:
        """Return the versions that ever predicted, and when they last did (Unix time); the newest at the end."""
        found: Any = await self._redis.zrange(self._keys.monitored(model), 0, -1, withscores=True)
        return {str(version): float(time) for version, time in found}

    async def received(self) -> Received:
        found: Any = await self._redis.hgetall(self._keys.received)
        rows = sum(int(value) for name, value in found.items() if name.endswith("|rows"))
        answered = sum(int(value) for name, value in found.items() if name.endswith("|top"))
        return Received(rows, answered, int(found.get(INVALID, 0)))

    async def retire(self, now: float) -> int:
        """Add up the figures of gateways that are gone and silent for as long as windows are kept; return how many.

        One that lives and has had nothing to do will go on with the number of all rows that it ever answered.
        """
        living = [replica.id for replica in await live_replicas(self._redis, self._keys, ("gateway",))]
        return int(await self._retire(keys=[self._keys.received], args=[now - self._lifetimes[HOUR], *living]))

    def _arguments(self, application: Application, now: float) -> tuple[list[str], list[str | int | float]]:
        a, keys = application, self._keys
        source, number = a.once or ("", 0)
        model, version = a.version or ("", "")
        progress = a.progress or Progress("", 0, 0)
        names = [a.stream, keys.seen(source, number // PAGE), keys.received, keys.monitored(model)]
        arguments: list[str | int | float] = [self._group, self._consumer, a.entry_id]
        arguments += [number % PAGE if a.once else "", SEEN_SECONDS]
        arguments += [progress.replica, progress.rows, progress.answered, now, version]
        buckets, packed = packed_arguments(self._targets(a))
        names += buckets
        arguments += packed
        for name, hashed in a.others.items():
            names.append(name)
            arguments += [len(hashed), *(part for counter in hashed.items() for part in counter)]
        return names, arguments

    def _targets(self, a: Application) -> list[Target]:
        if a.version is None:
            return []
        layout = layout_of(a.profile)
        targets: dict[Packed, list[tuple[str, int]]] = {}
        for span in (MINUTE, HOUR):
            for number, counters in by_span(a.minutes, span).items():
                expires = number * span + self._lifetimes[span]
                name = self._keys.bucket(*a.version, span, number)
                targets.setdefault(layout.pack(counters), []).append((name, expires))
        ever = layout.pack(merge(a.minutes.values()), features=False)
        targets.setdefault(ever, []).append((self._keys.totals(*a.version), 0))
        return list(targets.items())
