"""The scripts behind the monitor's counters, and the prediction log, on a real server."""

import io
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from services.monitor.buckets import Application, Buckets, Progress
from services.monitor.entries import Entry
from services.monitor.flow import Streams
from services.monitor.layout import layout_of
from services.monitor.log.deletions import DeletionRecords
from services.monitor.log.files import Files
from services.monitor.log.shelf import Shelf
from services.monitor.log.writer import PredictionLog
from services.monitor.versions import Versions
from services.monitor.windows import HOUR, MINUTE, last_seconds
from shared import artifact
from shared.broker import ensure_group
from shared.events import PredictionsLogged
from shared.keys import LOG_GROUP, STATS_GROUP, Keys
from shared.replica import Replica
from shared.settings import CommonSettings
from shared.store import Store
from tests.artifacts import a_champion
from tests.redis_server import RedisServer
from tests.unit.monitor.builders import Rows, a_profile, an_event, some_rows
from tests.waiting import eventually

pytestmark = pytest.mark.delivery

KIND = PredictionsLogged.stream
NOW = time.time()
THIS_MINUTE = int(NOW // MINUTE)
PROFILE = a_profile()


@pytest.fixture
async def stream(redis: Redis, keys: Keys) -> str:
    name = keys.stream(KIND)
    for group in (STATS_GROUP, LOG_GROUP):
        await ensure_group(redis, name, group)
    return name


@pytest.fixture
def buckets(redis: Redis, keys: Keys) -> Buckets:
    return Buckets(redis, keys, STATS_GROUP, "me", keep_days=8)


async def deliver(
    redis: Redis, stream: str, *, to: str = "me", group: str = STATS_GROUP, entries: int = 1
) -> list[str]:
    """Add entries and deliver them to a consumer; return their ids."""
    for _ in range(entries):
        await redis.xadd(stream, {"__data__": "{}"})
    answer: Any = await redis.xreadgroup(group, to, {stream: ">"}, count=entries)
    ((_, delivered),) = answer
    return [entry_id for entry_id, _ in delivered]


def ten_rows(stream: str, entry_id: str, *, sequence: int = 1, answered: int = 10) -> Application:
    return Application(
        stream,
        entry_id,
        once=("gateway-1", sequence),
        progress=Progress("gateway-1", 10, answered),
        version=("model", "1"),
        profile=PROFILE,
        minutes={THIS_MINUTE: {"n": 10, "0:3": 10, "rows:single": 10}},
    )


async def test_an_event_is_counted_in_its_minute_its_hour_and_for_ever(
    redis: Redis, stream: str, buckets: Buckets, keys: Keys
) -> None:
    (entry,) = await deliver(redis, stream)
    assert await buckets.apply([ten_rows(stream, entry)], NOW) == ["applied"]
    for seconds in (60, 24 * HOUR):
        found = await buckets.read("model", "1", PROFILE, last_seconds(seconds, NOW))
        assert found == {"n": 10, "0:3": 10, "rows:single": 10}
    assert await buckets.totals("model", "1", PROFILE) == {"n": 10, "rows:single": 10}
    assert await buckets.versions("model") == {"1": pytest.approx(NOW)}
    for span, least in ((MINUTE, 3 * HOUR), (HOUR, 8 * 24 * HOUR)):
        ttl = await redis.ttl(keys.bucket("model", "1", span, int(NOW // span)))
        assert least - HOUR < ttl < least + 3 * HOUR


async def test_more_counters_than_fit_into_one_command_are_all_counted(
    redis: Redis, stream: str, buckets: Buckets
) -> None:
    wide = PROFILE.model_copy(update={"features": PROFILE.features * 20})
    everything = {name: place + 1 for place, name in enumerate(layout_of(wide).names)}
    many = {THIS_MINUTE - 60 * hour: everything for hour in range(3)}
    assert len(everything) > 2000  # Lua passes no more than 8,000 arguments, of which each takes four
    entries = await deliver(redis, stream, entries=2)
    applications = [Application(stream, entry, version=("model", "1"), profile=wide, minutes=many) for entry in entries]
    assert await buckets.apply(applications, NOW) == ["applied", "applied"]
    assert await buckets.read("model", "1", wide, last_seconds(24 * HOUR, NOW)) == {
        name: 6 * count for name, count in everything.items()
    }
    minute, day = last_seconds(30, NOW), last_seconds(24 * HOUR, NOW)
    series = await buckets.series("model", "1", wide, [minute, day, minute])
    assert [found["n"] for found in series] == [2 * everything["n"], 6 * everything["n"], 2 * everything["n"]]
    assert (await buckets.rows("model", "1", minute))[THIS_MINUTE] == 2 * everything["n"]


async def test_a_version_that_cannot_be_read_is_counted_where_it_is_found_later(
    redis: Redis, stream: str, buckets: Buckets
) -> None:
    first, second = await deliver(redis, stream, entries=2)
    unread = Application(
        stream, first, version=("model", "1"), minutes={THIS_MINUTE: {"n": 9, "p:0": 9, "rows:single": 5}}
    )
    assert await buckets.apply([unread, ten_rows(stream, second)], NOW) == ["applied", "applied"]
    window = last_seconds(60, NOW)
    assert await buckets.read("model", "1", None, window) == {"rows:single": 15}
    assert await buckets.read("model", "1", PROFILE, window) == {"n": 10, "0:3": 10, "rows:single": 15}


async def test_only_the_owner_of_an_entry_counts_it(redis: Redis, stream: str, buckets: Buckets) -> None:
    (entry,) = await deliver(redis, stream, to="somebody else")
    assert await buckets.apply([ten_rows(stream, entry)], NOW) == ["lost"]
    assert await buckets.totals("model", "1", PROFILE) == {}
    assert (await redis.xpending(stream, STATS_GROUP))["pending"] == 1


async def test_a_redelivery_and_a_repeated_event_count_once(redis: Redis, stream: str, buckets: Buckets) -> None:
    first, second = await deliver(redis, stream, entries=2)
    again = [ten_rows(stream, first), ten_rows(stream, first), ten_rows(stream, second)]
    assert await buckets.apply(again, NOW) == ["applied", "lost", "duplicate"]
    assert (await buckets.totals("model", "1", PROFILE))["rows:single"] == 10
    assert (await redis.xpending(stream, STATS_GROUP))["pending"] == 0


async def test_events_out_of_order_are_all_counted_and_close_their_gap(
    redis: Redis, stream: str, buckets: Buckets
) -> None:
    ids = await deliver(redis, stream, entries=3)
    third, first, second = (
        ten_rows(stream, entry, sequence=n, answered=10 * n) for entry, n in zip(ids, (3, 1, 2), strict=True)
    )
    await buckets.apply([third], NOW)
    assert (await buckets.received()).dropped == 20
    await buckets.apply([first, second], NOW)
    assert (await buckets.received()).dropped == 0


async def test_a_counter_that_would_overflow_does_not_stop_the_others(
    redis: Redis, stream: str, buckets: Buckets, keys: Keys
) -> None:
    rows = f"#{layout_of(PROFILE).rows}"
    await redis.bitfield(keys.totals("model", "1")).set("i64", rows, 2**63 - 1).execute()
    (entry,) = await deliver(redis, stream)
    assert await buckets.apply([ten_rows(stream, entry)], NOW) == ["applied"]
    assert await buckets.totals("model", "1", PROFILE) == {"n": 2**63 - 1, "rows:single": 10}


async def test_counting_goes_on_when_memory_is_full(redis: Redis, stream: str, buckets: Buckets, keys: Keys) -> None:
    (entry,) = await deliver(redis, stream)
    await redis.config_set("maxmemory", "1")
    try:
        assert await buckets.apply([ten_rows(stream, entry)], NOW) == ["applied"]
        assert await Streams(redis, keys, {KIND: [STATS_GROUP]}).trim(timedelta(minutes=1)) == 0
    finally:
        await redis.config_set("maxmemory", "256mb")
    assert (await buckets.totals("model", "1", PROFILE))["n"] == 10


async def test_figures_of_gateways_long_gone_are_kept_on_one_line(
    redis: Redis, stream: str, buckets: Buckets, keys: Keys
) -> None:
    for n, entry in enumerate(await deliver(redis, stream, entries=2)):
        progress = Progress(f"gateway-{n}", 10, 15)
        await buckets.apply([Application(stream, entry, progress=progress)], NOW - n * 30 * 24 * HOUR)
    assert await buckets.retire(NOW) == 1
    found = await buckets.received()
    assert (found.rows, found.answered, found.dropped) == (20, 30, 10)
    assert not [name for name in await redis.hkeys(keys.received) if "gateway-1" in str(name)]


async def test_a_gateway_that_had_nothing_to_do_for_long_has_lost_nothing(
    redis: Redis, redis_url: str, stream: str, buckets: Buckets
) -> None:
    first, second = await deliver(redis, stream, entries=2)
    holidays = NOW - 30 * 24 * HOUR
    settings = CommonSettings.load(redis_url=redis_url, replica_id="gateway-1")
    async with Replica("gateway", settings, redis):
        await buckets.apply([ten_rows(stream, first, sequence=1, answered=10)], holidays)
        assert await buckets.retire(NOW) == 0
        await buckets.apply([ten_rows(stream, second, sequence=2, answered=20)], NOW)
        received = await buckets.received()
    assert (received.rows, received.answered, received.dropped) == (20, 20, 0)


async def test_only_what_every_group_has_acknowledged_is_deleted(redis: Redis, stream: str, keys: Keys) -> None:
    streams = Streams(redis, keys, {KIND: [STATS_GROUP, LOG_GROUP]})
    ids = await deliver(redis, stream, entries=5)
    await redis.xack(stream, STATS_GROUP, *ids)
    assert await streams.trim(timedelta(hours=1)) == 0  # the other group has read nothing
    await redis.xreadgroup(LOG_GROUP, "me", {stream: ">"})
    await redis.xack(stream, LOG_GROUP, ids[0], ids[1], ids[3])
    assert await streams.trim(timedelta(hours=1)) == 2
    left: Any = await redis.xrange(stream)
    assert [entry for entry, _ in left] == ids[2:]
    await redis.xack(stream, LOG_GROUP, *ids)
    await streams.trim(timedelta(hours=1))
    assert await redis.xlen(stream) == 1


async def test_nothing_is_deleted_before_the_groups_exist(redis: Redis, keys: Keys) -> None:
    stream = keys.stream(KIND)
    await ensure_group(redis, stream, STATS_GROUP)
    ids = await deliver(redis, stream, entries=3)
    await redis.xack(stream, STATS_GROUP, *ids)
    assert await Streams(redis, keys, {KIND: [STATS_GROUP, LOG_GROUP]}).trim(timedelta(hours=1)) == 0


async def test_consumers_long_gone_are_forgotten_unless_something_is_pending_with_them(
    redis: Redis, stream: str, keys: Keys
) -> None:
    (acknowledged,) = await deliver(redis, stream, to="gone")
    await redis.xack(stream, STATS_GROUP, acknowledged)
    await deliver(redis, stream, to="gone, but pending")

    async def silent() -> bool:
        return all(c["idle"] > 50 for c in await redis.xinfo_consumers(stream, STATS_GROUP))

    await eventually(silent)
    await Streams(redis, keys, {KIND: [STATS_GROUP]}).trim(timedelta(milliseconds=50))
    assert [c["name"] for c in await redis.xinfo_consumers(stream, STATS_GROUP)] == ["gone, but pending"]


async def test_lag_is_what_is_not_acknowledged_and_how_old_it_is(redis: Redis, stream: str, keys: Keys) -> None:
    streams = Streams(redis, keys, {KIND: [STATS_GROUP, LOG_GROUP]})
    ids = await deliver(redis, stream, entries=3)
    await redis.xack(stream, STATS_GROUP, ids[0])
    now = int(ids[1].split("-")[0]) / 1000 + 7
    lag = (await streams.flow(now, 0.0)).lag[KIND]
    assert (lag[STATS_GROUP].entries, lag[LOG_GROUP].entries) == (2, 3)
    assert lag[STATS_GROUP].seconds == pytest.approx(7, abs=0.5)
    await redis.xack(stream, STATS_GROUP, *ids)
    assert (await streams.flow(now, 0.0)).lag[KIND][STATS_GROUP].seconds == 0


async def test_dead_letters_are_counted(redis: Redis, keys: Keys) -> None:
    await redis.zadd(keys.dead_letters, {"job:1": 1, "job:2": 2})
    assert (await Streams(redis, keys, {}).flow(0, 0.0)).dead_letters == 2


class Log:
    """A prediction log over a stream, driven by hand."""

    def __init__(self, redis: Redis, store: Store, stream: str, buffer_rows: int = 100) -> None:
        self.redis, self.store, self.stream = redis, store, stream
        self.counted: dict[str, int] = {}
        self.log = PredictionLog(
            redis,
            Shelf(store, Files(store), DeletionRecords(store)),
            Versions(store, patience=0.0),
            stream=stream,
            group=LOG_GROUP,
            flush_seconds=600,
            flush_rows=1000,
            buffer_rows=buffer_rows,
            counted=self._count,
        )

    async def take(self, event: PredictionsLogged) -> Entry:
        await self.redis.xadd(self.stream, event.entry())  # type: ignore[arg-type]
        answer: Any = await self.redis.xreadgroup(LOG_GROUP, "me", {self.stream: ">"})
        ((_, ((entry_id, fields),)),) = answer
        entry = Entry(self.stream, entry_id, fields["__data__"].encode())
        await self.log.on_predictions_logged([entry])
        return entry

    async def pending(self) -> int:
        return int((await self.redis.xpending(self.stream, LOG_GROUP))["pending"])

    async def files(self) -> list[str]:
        return [key async for key in self.store.list("log")]

    async def ids(self) -> list[str]:
        tables = [pq.read_table(io.BytesIO(await self.store.get(key))) for key in await self.files()]
        return sorted(value for table in tables for value in table["request_id"].to_pylist())

    def _count(self, what: str, number: int) -> None:
        self.counted[what] = self.counted.get(what, 0) + number


async def rows_for(store: Store) -> Rows:
    features = (await artifact.fetch(store, "model", "1")).signature.features
    x, _ = some_rows(4)
    return x[:, [0] * len(features)] * 0


@pytest.fixture
async def log(redis_url: str, store: Store, keys: Keys) -> AsyncIterator[Log]:
    await a_champion(store)
    redis = Redis.from_url(redis_url, decode_responses=True, retry=Retry(NoBackoff(), 0))
    await ensure_group(redis, keys.stream(KIND), LOG_GROUP)
    yield Log(redis, store, keys.stream(KIND))
    await redis.aclose()


async def test_an_entry_is_acknowledged_after_its_rows_are_durable(log: Log, tmp_path: Path) -> None:
    x = await rows_for(log.store)
    in_the_way = tmp_path / "store" / "log"
    in_the_way.write_text("a file where the directory should be")
    entry = await log.take(an_event(x))
    assert not await log.log.flush()
    assert await log.pending() == 1
    in_the_way.unlink()
    assert await log.log.flush()
    assert await log.pending() == 0
    await log.log.on_predictions_logged([entry])  # a reclaim that was answered before the acknowledgement
    assert await log.log.flush()
    assert await log.ids() == ["r0", "r1", "r2", "r3"]


async def test_rows_are_not_written_again_when_only_the_acknowledgement_failed(
    log: Log, redis_server: RedisServer
) -> None:
    entry = await log.take(an_event(await rows_for(log.store)))
    redis_server.kill()
    assert not await log.log.flush()
    redis_server.start()
    await log.redis.connection_pool.disconnect()
    await log.log.on_predictions_logged([entry])  # reclaimed from ourselves meanwhile
    assert await log.log.flush()
    assert await log.pending() == 0
    assert len(await log.files()) == 1


async def test_what_cannot_be_logged_is_given_up_with_a_reason_and_counted(log: Log) -> None:
    await log.take(an_event(model_version="77"))
    await log.take(an_event((await rows_for(log.store))[:, :1]))
    await log.log.flush()
    assert await log.pending() == 0
    assert log.counted == {"entries_refused": 2}
