"""Rows of deleted requests are told from others."""

from datetime import timedelta

import pyarrow as pa

from services.monitor.log.deletions import Deletions
from tests.unit.monitor.logged import NOON, logged


def test_the_rows_of_a_deleted_request_are_left_out() -> None:
    table = pa.concat_tables([logged(["a", "b"]), logged(["b", "c"], index=[1, 0])])
    assert Deletions({"b": NOON}).keep(table)["request_id"].to_pylist() == ["a", "c"]
    assert Deletions({"x": NOON}).keep(table) is table
    assert Deletions().keep(table) is table


def test_a_request_that_comes_later_with_the_same_id_is_kept() -> None:
    table = pa.concat_tables([logged(["a"]), logged(["a"], seconds=3600)])
    assert Deletions({"a": NOON + timedelta(minutes=5)}).keep(table)["time"].to_pylist() == [NOON + timedelta(hours=1)]


def test_a_deletion_that_was_repeated_is_another() -> None:
    once, again = Deletions({"a": NOON, "b": NOON}), Deletions({"a": NOON + timedelta(1), "b": NOON})
    assert again.but(once) == Deletions({"a": NOON + timedelta(1)})
    assert once.but(once) == Deletions()
