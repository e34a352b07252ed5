"""Rows are found by request id and index, wherever they are, and little else is read."""

from pathlib import Path

import pyarrow as pa
import pytest
from structlog.testing import capture_logs

from services.monitor.log.layout import LOG, Partition
from services.monitor.log.plan import Target
from services.monitor.log.rows import FIXED, row_group_rows
from shared.store import Store
from tests.integration.prediction_log import PARTITION, Log, WatchedStore
from tests.unit.monitor.logged import logged

EARLIER = Partition(LOG, "model", "2026-01-30")


@pytest.fixture
def log(store: Store) -> Log:
    return Log(store)


async def test_a_row_is_found_by_its_key_once_however_often_it_was_logged(log: Log) -> None:
    table = logged(["a", "a", "b"], index=[0, 1, 0])
    await log.write(table, table, logged(["c"]))
    found = await log.reader.find("model", [("a", 1), ("c", 0), ("b", 7), ("nobody", 0)])
    assert sorted((row["request_id"], row["index"]) for row in found.to_pylist()) == [("a", 1), ("c", 0)]


async def test_nothing_that_is_found_is_a_table_all_the_same(log: Log) -> None:
    for model in ("model", "nobody"):
        found = await log.reader.find(model, [("a", 0)])
        assert (len(found), found.schema) == (0, FIXED)
    assert await log.reader.days("nobody") == []


async def test_the_newest_day_wins_unless_others_are_named(log: Log) -> None:
    await log.write(logged(["a"], size=[1.0]), partition=EARLIER)
    await log.write(logged(["a"], size=[2.0]), logged(["a"], seconds=9, size=[3.0]))
    assert await log.reader.days("model") == [PARTITION.day, EARLIER.day]
    assert (await log.reader.find("model", [("a", 0)]))["size"].to_pylist() == [3.0]
    assert (await log.reader.find("model", [("a", 0)], [EARLIER.day]))["size"].to_pylist() == [1.0]
    assert len(await log.reader.find("model", [("a", 0)], ["2020-01-01"])) == 0


async def test_versions_of_different_columns_are_put_together(log: Log) -> None:
    await log.write(logged(["a"], size=[1.5], zone=["x"]), logged(["b"], size=["big"]))
    await log.write(logged(["c"], other=[1.0]), partition=EARLIER)
    found = (await log.reader.find("model", [(name, 0) for name in "abc"])).sort_by("request_id")
    assert found["size"].to_pylist() == ["1.5", "big", None]
    assert found["zone"].to_pylist() == ["x", None, None]
    assert found["other"].to_pylist() == [None, None, 1.0]


async def test_of_a_sorted_file_one_row_group_is_read(tmp_path: Path) -> None:
    read: list[int] = []

    class Counting(WatchedStore):
        async def get_range(self, key: str, start: int, end: int) -> bytes:
            read.append(end - start)
            return await super().get_range(key, start, end)

    async def nothing(_: int) -> None:
        pass

    (tmp_path / "store").mkdir()
    log = Log(Counting.over(tmp_path / "store", nothing), Target(rows=10**6, bytes=1 << 30))
    n = 40 * row_group_rows(FIXED)
    await log.write(logged([f"{i:06}" for i in range(n)]))
    (stored,) = await log.files.list(PARTITION)
    read.clear()
    found = await log.reader.find("model", [("123456", 0)])
    assert found["prediction"].to_pylist() == [123456.0]
    assert sum(read) < stored.size / 8
    read.clear()
    assert len(await log.reader.find("model", [("x", 0)])) == 0
    assert read == []  # what its footer says is known


async def test_a_file_that_is_damaged_or_of_a_newer_schema_is_named_and_passed_over(log: Log) -> None:
    await log.store.put(f"{PARTITION.prefix}/0.parquet", b"PAR1")
    await log.write(logged(["a"]).replace_schema_metadata({"tasador.schema": "2"}), logged(["b"]))
    with capture_logs() as told:
        found = await log.reader.find("model", [("a", 0), ("b", 0)])
    assert found["request_id"].to_pylist() == ["b"]
    said = " ".join(each["reason"] for each in told)
    assert "0.parquet cannot be read" in said
    assert "upgrade" in said


async def test_files_that_are_compacted_while_they_are_read_are_found_all_the_same(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    directory.mkdir()
    other = Log(Store.open(directory.as_uri()))
    await other.write(*(logged([f"{name}{i}" for i in range(3)]) for name in "abcdefghijkl"))

    async def compact(number: int) -> None:
        if number == 3:
            await other.compactor.compact(PARTITION, closed=False)

    watched = WatchedStore.over(directory, compact)
    found = await Log(watched).reader.find("model", [("a0", 0), ("l2", 0)])
    assert sorted(found["request_id"].to_pylist()) == ["a0", "l2"]
    assert len(await other.keys()) == 1
    assert isinstance(found, pa.Table)
