"""Rows of a deleted request are gone for good, whoever wrote or merged them meanwhile."""

from contextlib import suppress
from datetime import timedelta
from itertools import count
from pathlib import Path

import pyarrow as pa
import pytest

from services.monitor.log.deletions import SERVES
from services.monitor.log.layout import LABELS, LOG, Partition
from services.monitor.log.plan import MANY
from services.monitor.log.purge import Purged
from shared.clock import utc_now
from shared.store import Store, StoreUnavailable
from tests.integration.prediction_log import PARTITION, Log, WatchedStore
from tests.unit.monitor.logged import logged

ANOTHER = Partition(LOG, "another", "2026-01-01")
LABELLED = Partition(LABELS, "model", "2026-01-31")
SUBJECT = "order/47:11"


@pytest.fixture
def log(store: Store) -> Log:
    return Log(store)


async def test_all_rows_of_a_request_go_and_no_other(log: Log) -> None:
    await log.write(logged(["a", SUBJECT, "b"]), logged([SUBJECT, SUBJECT], index=[1, 2]), logged(["c"]))
    await log.write(logged([SUBJECT, "d"]), partition=ANOTHER)
    labels = logged(["a", SUBJECT]).append_column("actual", pa.array([1.0, 2.0]))
    await log.write(labels, partition=LABELLED)
    assert await log.purge.delete(SUBJECT) == Purged(rows=4, labelled_rows=1, files=4)
    assert [await log.ids(each) for each in (PARTITION, ANOTHER, LABELLED)] == [["a", "b", "c"], ["d"], ["a"]]
    assert len(await log.keys()) == 2
    (kept,) = await log.tables(LABELLED)
    assert kept.to_pylist() == labels[:1].to_pylist()
    assert await log.purge.delete(SUBJECT) == Purged()
    assert [key async for key in log.store.list("log-deletions")] != []
    assert len([key async for key in log.store.list("log-deletions")]) == 1


async def test_rows_that_arrive_later_are_left_out_and_those_of_a_later_request_are_not(log: Log) -> None:
    await log.purge.delete(SUBJECT)
    later = logged([SUBJECT])
    moved = pa.array([utc_now() + timedelta(hours=1)], later["time"].type)
    await log.write(logged([SUBJECT, "a"]), logged([SUBJECT]), later.set_column(0, "time", moved))
    assert await log.ids() == ["a", SUBJECT]


@pytest.mark.parametrize("name", [".DS_Store", "a.b.c", "20260131T120000000000Z.\N{LATIN SMALL LETTER SHARP S}.json"])
async def test_what_is_no_record_of_a_deletion_keeps_nobody_from_writing(log: Log, name: str) -> None:
    await log.purge.delete(SUBJECT)
    await log.store.put(f"log-deletions/{name}", b"")
    await log.write(logged([SUBJECT, "a"]))
    assert await log.ids() == ["a"]
    await log.records.retire(utc_now() + SERVES)
    assert [key async for key in log.store.list("log-deletions")] == [f"log-deletions/{name}"]


async def test_a_deletion_serves_its_time_and_goes(log: Log) -> None:
    await log.purge.delete(SUBJECT)
    await log.records.retire(utc_now() + SERVES - timedelta(minutes=1))
    assert SUBJECT in (await log.records.read()).at
    await log.records.retire(utc_now() + SERVES)
    assert (await log.records.read()).at == {}


async def test_a_file_that_cannot_be_read_is_named_and_the_others_are_searched(log: Log) -> None:
    damaged = f"{PARTITION.prefix}/0.parquet"
    await log.store.put(damaged, b"nonsense")
    await log.write(logged([SUBJECT, "a"]))
    assert await log.purge.delete(SUBJECT) == Purged(rows=1, files=1, unreadable=(damaged,))
    await log.store.delete(damaged)
    assert await log.ids() == ["a"]


@pytest.mark.slow
async def test_a_deletion_at_any_moment_of_a_compaction_is_kept_by_it(tmp_path: Path) -> None:
    tables = [logged([f"r{i}", SUBJECT, f"s{i}"], seconds=i, index=[0, i, 0]) for i in range(MANY)]
    others = {f"{kind}{i}" for kind in "rs" for i in range(MANY)}
    for moment in count():
        directory = tmp_path / str(moment)
        directory.mkdir()
        deleting = Log(Store.open(directory.as_uri()))
        await deleting.write(*tables)

        async def delete(number: int, at: int = moment, deleting: Log = deleting) -> None:
            if number == at:
                await deleting.purge.delete(SUBJECT)

        watched = WatchedStore.over(directory, delete)
        compacting = Log(watched)
        for closed in (False, True):
            await compacting.compactor.compact(PARTITION, closed=closed)
        if watched.operations <= moment:
            break
        assert set(await deleting.ids()) == others, moment
    assert moment > 2 * MANY


async def test_a_deletion_at_any_moment_of_a_write_is_kept_by_it(tmp_path: Path) -> None:
    for moment in range(5):
        directory = tmp_path / str(moment)
        directory.mkdir()
        deleting = Log(Store.open(directory.as_uri()))

        async def delete(number: int, at: int = moment, deleting: Log = deleting) -> None:
            if number == at:
                await deleting.purge.delete(SUBJECT)

        watched = WatchedStore.over(directory, delete)
        await Log(watched).write(logged(["a", SUBJECT]))
        if watched.operations <= moment:
            break
        assert await deleting.ids() == ["a"], moment
    assert moment == 3


async def test_a_deletion_that_died_at_any_operation_is_finished_by_the_next_tidying(tmp_path: Path) -> None:
    for failing in count():
        directory = tmp_path / str(failing)
        directory.mkdir()
        tidying = Log(Store.open(directory.as_uri()))
        await tidying.write(logged(["a", SUBJECT]), logged([SUBJECT]), logged(["b"]))
        await tidying.purge.delete("x")
        await tidying.purge.again()  # knows that the files are clean, of the other request

        async def die(number: int, at: int = failing) -> None:
            if number >= at:
                raise StoreUnavailable("away")

        watched = WatchedStore.over(directory, die)
        with suppress(StoreUnavailable):
            await Log(watched).purge.delete(SUBJECT)
        in_force = SUBJECT in (await tidying.records.read()).at
        assert in_force == (failing > 0)
        await tidying.purge.again()
        assert set(await tidying.ids()) == {"a", "b"} | (set() if in_force else {SUBJECT})
        if watched.operations <= failing:
            break


async def test_a_writer_that_died_before_it_could_look_again_is_cleaned_up_after(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    directory.mkdir()
    tidying = Log(Store.open(directory.as_uri()))

    async def delete_then_die(number: int) -> None:
        if number == 1:  # about to write, having looked
            await tidying.purge.delete(SUBJECT)
            await tidying.purge.again()  # knows the deletion, and not the file
        if number == 2:
            raise StoreUnavailable("away")

    with pytest.raises(StoreUnavailable):
        await Log(WatchedStore.over(directory, delete_then_die)).write(logged(["a", SUBJECT]))
    assert await tidying.ids() == ["a", SUBJECT]
    assert (await tidying.purge.again()).rows == 1
    assert await tidying.ids() == ["a"]
