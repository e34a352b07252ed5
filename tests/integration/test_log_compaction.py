"""Small files of the prediction log become large ones, and no row is lost whatever happens meanwhile."""

import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import count, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from redis.asyncio import Redis

from services.monitor.log.layout import LABELS, LOG, Partition
from services.monitor.log.plan import MANY, Target
from services.monitor.log.tidy import LogKeeper
from shared.clock import utc_now
from shared.keys import Keys
from shared.lease import Lease
from shared.settings import ROOT
from shared.store import Store, StoreUnavailable
from tests.integration.prediction_log import PARTITION, Log, WatchedStore
from tests.s3 import S3Server
from tests.unit.monitor.logged import NOON, logged
from tests.waiting import eventually

LARGE = Target(rows=20_000, bytes=1 << 30)
"""Files of several row groups, so that their ids can be cut into ranges."""
KILLED = """
import asyncio, sys
from shared.store import Store
from tests.integration.prediction_log import PARTITION, Log
from tests.integration.test_log_compaction import LARGE
asyncio.run(Log(Store.open(sys.argv[1]), LARGE).compactor.compact(PARTITION, closed=True))
"""


def ten_files(rows: int = 5, first: int = 0) -> list[pa.Table]:
    """Tables of which every second one repeats the last row of the one before."""
    tables = [logged([f"r{(first + i) * rows + j:04}" for j in range(rows)], seconds=i) for i in range(MANY)]
    return [pa.concat_tables([tables[i - 1][-1:], t]) if i % 2 else t for i, t in enumerate(tables)]


def all_of(tables: list[pa.Table]) -> set[str]:
    return {name for table in tables for name in table["request_id"].to_pylist()}


@pytest.fixture
def log(store: Store) -> Log:
    return Log(store)


async def test_many_small_files_become_one_that_is_sorted_and_has_each_row_once(log: Log) -> None:
    tables = ten_files()
    await log.write(*reversed(tables))
    assert await log.compactor.compact(PARTITION, closed=False)
    (found,) = await log.tables()
    assert found["request_id"].to_pylist() == sorted(all_of(tables))
    assert log.counted == {"files_compacted": MANY}
    assert not await log.compactor.compact(PARTITION, closed=False)


async def test_versions_of_different_columns_stay_apart_and_lose_nothing(log: Log) -> None:
    for i in range(MANY):
        await log.write(
            logged([f"a{i}"], size=[1.5]), logged([f"b{i}"], size=["big"]), logged([f"c{i}"], size=[2.5], zone=["x"])
        )
    await log.compactor.compact(PARTITION, closed=False)
    found = sorted(await log.tables(), key=lambda table: str(table["request_id"][0]))
    assert [table["size"].to_pylist() for table in found] == [[1.5] * MANY, ["big"] * MANY, [2.5] * MANY]
    assert found[2]["zone"].to_pylist() == ["x"] * MANY


async def test_a_day_that_is_over_ends_as_files_of_disjoint_ids_however_it_was_compacted(store: Store) -> None:
    log, everything = Log(store, LARGE), set[str]()
    rng = np.random.default_rng(3)
    for part in range(4):
        tables = [
            logged([f"{n:012}" for n in rng.integers(0, 10**12, 1900)], seconds=part * 1000 + i * 10)
            for i in range(MANY)
        ]
        everything |= all_of(tables)
        await log.write(*tables, tables[0])  # one of them twice
        await log.compactor.compact(PARTITION, closed=False)
    assert await log.compactor.compact(PARTITION, closed=True)
    assert not await log.compactor.compact(PARTITION, closed=True)
    files = [await log.files.open(stored) for stored in await log.files.list(PARTITION)]
    files.sort(key=lambda file: file.first)
    assert 3 <= len(files) <= 5
    assert all(one.last is not None and one.last < other.first for one, other in pairwise(files))
    assert sum(file.rows for file in files) == len(everything)
    assert set(await log.ids()) == everything


async def test_what_cannot_be_merged_is_left_as_it_is_and_holds_up_nothing(log: Log) -> None:
    await log.write(*ten_files(), logged(["newer"]).replace_schema_metadata({"tasador.schema": "99"}))
    newer = (await log.keys())[-1]
    await log.store.put(f"{PARTITION.prefix}/damaged.parquet", b"PAR1 no such thing PAR1")
    torn = f"{PARTITION.prefix}/torn.parquet"
    data = bytearray(await log.store.get((await log.keys())[0]))
    data[4:200] = bytes(196)
    await log.store.put(torn, bytes(data))
    await log.compactor.compact(PARTITION, closed=True)  # finds that one is torn
    await log.compactor.compact(PARTITION, closed=True)
    left = await log.keys()
    assert {newer, torn, f"{PARTITION.prefix}/damaged.parquet"} < set(left)
    assert len(left) == 4


@pytest.mark.slow
async def test_it_may_fail_at_any_operation_and_the_next_time_puts_it_right(tmp_path: Path) -> None:
    tables = ten_files(rows=30)
    for failing in count(step=3):
        directory = tmp_path / str(failing)
        directory.mkdir()
        whole = Log(Store.open(directory.as_uri()))
        await whole.write(*tables)

        async def fail(number: int, at: int = failing) -> None:
            if number >= at:  # as a process that died, or a store that is away: nothing more happens
                raise StoreUnavailable("away")

        watched = WatchedStore.over(directory, fail)
        try:
            for closed in (False, True, True):
                await Log(watched).compactor.compact(PARTITION, closed=closed)
        except StoreUnavailable:
            pass
        assert set(await whole.ids()) == all_of(tables), failing
        for _ in range(4):
            await whole.compactor.compact(PARTITION, closed=True)
        assert await whole.ids() == sorted(all_of(tables)), failing
        if watched.operations <= failing:
            break
    assert failing > 2 * MANY


@pytest.mark.parametrize("written", [0, 1, 3, 5])
async def test_a_process_that_is_killed_in_the_middle_loses_nothing(store: Store, written: int) -> None:
    log = Log(store, LARGE)
    tables = [logged([f"{(i * 500 + j) * 7919 % 100_000:05}" for j in range(500)], seconds=i) for i in range(200)]
    await log.write(*tables)
    before = set(await log.keys())
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, store.url, cwd=ROOT)

    async def begun() -> bool:
        return len(set(await log.keys()) - before) >= written

    await eventually(begun)
    with suppress(ProcessLookupError):  # it may be done already
        process.send_signal(signal.SIGKILL)
    await process.wait()
    assert set(await log.ids()) == all_of(tables)
    while await log.compactor.compact(PARTITION, closed=True):
        pass
    assert await log.ids() == sorted(all_of(tables))


async def test_compaction_and_lookup_on_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    with S3Server().running() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        log = Log(Store.open(f"s3://{server.new_bucket()}/a prefix"), Target(rows=10**6, bytes=1 << 30))
        n = 20_000
        rng = np.random.default_rng(1)
        tables = [
            logged(
                [f"{i:02}-{j:05}" for j in range(n)],
                seconds=i,
                size=rng.normal(size=n),
                other=rng.normal(size=n),
                third=rng.normal(size=n),
            )
            for i in range(MANY)
        ]
        await log.write(*tables, tables[0][:7])
        await log.compactor.compact(PARTITION, closed=True)
        (stored,) = await log.files.list(PARTITION)
        assert stored.size > 6_000_000
        assert (await log.files.open(stored)).rows == MANY * n
        found = await log.reader.find("model", [("03-00017", 0), ("09-19999", 0), ("x", 0)])
        assert sorted(found["request_id"].to_pylist()) == ["03-00017", "09-19999"]
        assert (await log.purge.delete("03-00017")).rows == 1
        assert len(await log.reader.find("model", [("03-00017", 0)])) == 0


def keeper(log: Log, redis: Redis, keep_days: int = 90, clock: Callable[[], datetime] = utc_now) -> LogKeeper:
    return LogKeeper(
        redis,
        Keys().lease("log"),
        log.store,
        log.files,
        keep_days=keep_days,
        records=log.records,
        purge=log.purge,
        compactor=log.compactor,
        counted=log.count,
        clock=clock,
    )


def days_ago(days: int, now: datetime | None = None) -> Partition:
    return Partition(LOG, "model", f"{(now or utc_now()) - timedelta(days=days):%Y-%m-%d}")


async def test_old_days_go_and_the_others_stay(log: Log, redis: Redis) -> None:
    now = utc_now()
    days = {days: days_ago(days, now) for days in (0, 1, 3, 4, 400)}
    for ago, partition in days.items():
        await log.write(logged([f"{ago}"]), partition=partition)
    await keeper(log, redis, keep_days=0, clock=lambda: now).tidy()
    assert len(await log.reader.days("model")) == 5
    await keeper(log, redis, keep_days=3, clock=lambda: now).tidy()
    assert await log.reader.days("model") == [days[ago].day for ago in (0, 1, 3)]
    assert log.counted["days_removed"] == 2
    assert await log.ids(days[3]) == ["3"]


async def test_small_files_of_labelled_rows_become_one_and_corrections_stay(log: Log, redis: Redis) -> None:
    partition = Partition(LABELS, "model", "2026-01-31")
    for i in range(MANY):
        said = {
            "actual": pa.array([float(i)]),
            "labelled_at": pa.array([NOON + timedelta(days=i)]),
            "entry": [f"{i}-0"],
        }
        rows = logged(["corrected"], **said)
        await log.write(rows, rows, logged([f"r{i}"], **said), partition=partition)
    await keeper(log, redis, keep_days=1).tidy()
    (table,) = await log.tables(partition)
    assert sorted(table["request_id"].to_pylist()) == ["corrected"] * MANY + [f"r{i}" for i in range(MANY)]
    assert table["actual"].to_pylist()[:MANY] == [float(i) for i in range(MANY)]
    assert table["entry"].to_pylist()[:MANY] == [f"{i}-0" for i in range(MANY)]
    assert table.schema.metadata == {b"tasador.schema": b"1"}


async def test_every_model_is_tidied_and_a_day_that_is_over_with_few_files_too(log: Log, redis: Redis) -> None:
    today, yesterday, other = days_ago(0), days_ago(2), Partition(LOG, "another", days_ago(2).day)
    for partition in (today, yesterday, other):
        await log.write(logged(["b"]), logged(["a"]), partition=partition)
    await keeper(log, redis).tidy()
    assert [len(await log.keys(partition)) for partition in (today, yesterday, other)] == [2, 1, 1]
    assert await log.ids(other) == ["a", "b"]


async def test_a_day_that_was_in_order_while_it_went_on_is_merged_when_it_is_over(log: Log, redis: Redis) -> None:
    now, today = [utc_now()], days_ago(0)
    one = keeper(log, redis, clock=lambda: now[0])
    await log.write(logged(["b"]), logged(["a"]), partition=today)
    await one.tidy()
    assert len(await log.keys(today)) == 2
    now[0] += timedelta(days=2)
    await one.tidy()
    assert len(await log.keys(today)) == 1


async def test_one_monitor_at_a_time_tidies(log: Log, redis: Redis) -> None:
    await log.write(logged(["a"]), partition=days_ago(100))
    async with Lease(redis, Keys().lease("log"), timedelta(seconds=30)).held(timedelta(0)):
        await keeper(log, redis).tidy()
        assert await log.reader.days("model")
    await keeper(log, redis).tidy()
    assert not await log.reader.days("model")
    await log.write(logged(["a"]), partition=days_ago(100))
    await keeper(log, redis).tidy()  # the lease was given back
    assert not await log.reader.days("model")
