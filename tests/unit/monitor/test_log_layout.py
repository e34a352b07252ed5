"""Names of files and days."""

from datetime import UTC, datetime

import pytest

from services.monitor.log.layout import Partition, days_of, is_closed, is_expired
from services.monitor.log.rows import SchemaTooNew, check_schema
from tests.unit.monitor.logged import logged


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_the_partition_of_a_file_is_in_its_name() -> None:
    partition = Partition("log", "my.model", "2026-01-31")
    key = partition.new_key(at("2026-02-01T12:00"))
    assert key.startswith("log/my.model/date=2026-01-31/20260201T120000000000Z-")
    assert Partition.of(key) == partition


def test_days_are_the_newest_first_and_other_directories_are_none() -> None:
    assert days_of(["date=2026-01-09", "date=2026-01-10", "date=x", "other", "date="]) == ["2026-01-10", "2026-01-09"]


def test_a_day_is_kept_for_as_long_as_was_asked_after_its_end() -> None:
    assert not is_expired("2026-01-01", 90, at("2026-04-01T23:59"))
    assert is_expired("2026-01-01", 90, at("2026-04-02T00:00"))
    assert not is_expired("1999-01-01", 0, at("2026-04-02T00:00"))


def test_a_day_is_closed_an_hour_after_its_end() -> None:
    assert not is_closed("2026-01-01", at("2026-01-02T00:59"))
    assert is_closed("2026-01-01", at("2026-01-02T01:00"))


def test_a_newer_schema_is_refused_with_what_to_do() -> None:
    known = logged(["a"]).schema
    check_schema("x.parquet", known)
    with pytest.raises(SchemaTooNew, match=r"x\.parquet has version 2 .* up to 1: upgrade"):
        check_schema("x.parquet", known.with_metadata({"tasador.schema": "2"}))
