"""A merged file has each row once, in the order of request ids."""

import io
import random

import pyarrow as pa
import pyarrow.parquet as pq

from services.monitor.log.merge import merged, within
from services.monitor.log.rows import FIXED, row_group_rows
from tests.unit.monitor.logged import logged


def read(data: bytes) -> pa.Table:
    return pq.read_table(io.BytesIO(data))


def test_rows_are_sorted_and_what_was_logged_twice_is_there_once() -> None:
    table = logged(["c", "a", "b"], size=[3.0, 1.0, None])
    found = read(merged([table, table[1:], logged(["a", "a"], seconds=9, index=[2, 1], size=[5.0, 6.0])]))
    assert list(zip(found["request_id"].to_pylist(), found["index"].to_pylist(), strict=True)) == [
        ("a", 0), ("a", 1), ("a", 2), ("b", 0), ("c", 0),
    ]  # fmt: skip
    assert found["size"].to_pylist() == [1.0, 6.0, 5.0, None, 3.0]
    assert found.schema.metadata[b"tasador.schema"] == b"1"


def test_requests_that_share_an_id_are_both_kept() -> None:
    found = read(merged([logged(["same"]), logged(["same"], seconds=1)]))
    assert len(found) == 2


def test_what_was_logged_twice_is_found_across_row_groups() -> None:
    size = row_group_rows(FIXED)
    ids = [f"{i:06}" for i in range(2 * size + 10)]
    table = logged(ids)
    shuffled = table.take(random.Random(1).sample(range(len(table)), len(table)))
    for again in range(size - 3, size + 2):
        data = merged([shuffled, table[again : again + 1], table[:1], table[-1:]])
        assert read(data)["request_id"].to_pylist() == ids
    groups = pq.read_metadata(io.BytesIO(data))
    last = [groups.row_group(i).column(1).statistics.max for i in range(groups.num_row_groups)]
    assert len(last) == 3
    assert last == sorted(last)


def test_one_row_and_the_same_row_twice() -> None:
    assert len(read(merged([logged(["a"])]))) == 1
    assert len(read(merged([logged(["a"]), logged(["a"])]))) == 1


def test_a_range_has_its_beginning_and_not_its_end() -> None:
    table = logged(["a", "b", "c", "d"])
    assert within(table, "b", "d")["request_id"].to_pylist() == ["b", "c"]
    assert within(table, "b", None)["request_id"].to_pylist() == ["b", "c", "d"]
