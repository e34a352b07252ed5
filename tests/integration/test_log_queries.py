"""The queries of docs/how-to/read-the-prediction-log.md, as they stand there, on a log as a monitor writes it."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from services.monitor.log.layout import LABELS, LOG, Partition
from shared.settings import ROOT
from shared.store import Store
from tests.integration.prediction_log import Log
from tests.unit.monitor.logged import logged

PAGE = (ROOT / "docs" / "how-to" / "read-the-prediction-log.md").read_text(encoding="utf-8")
MACRO, DAILY, LATEST, MOVED, REQUEST, LABELLED = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
MODEL = "boston-housing"
# The day that the queries take for today: midnight may pass while the tests run.
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def day(ago: int, root: str = LOG) -> Partition:
    return Partition(root, MODEL, f"{NOW - timedelta(days=ago):%Y-%m-%d}")


def answered(ids: list[str], ago: int, **columns: list[object]) -> pa.Table:
    """Rows of the model's version 1 unless they say otherwise, all answered at one time of a day."""
    rows = logged(ids)
    at = datetime.combine((NOW - timedelta(days=ago)).date(), datetime.min.time(), UTC)
    given = {"time": [at] * len(ids), **columns}
    for name, values in given.items():
        field = rows.schema.field(name) if name in rows.schema.names else pa.field(name, pa.array(values).type)
        column = pa.array(values, field.type)
        rows = rows.append_column(field, column) if name not in rows.schema.names else rows.set_column(
            rows.schema.names.index(name), field, column
        )  # fmt: skip
    return rows


@pytest.fixture
async def root(tmp_path: Path) -> Path:
    log = Log(Store.open((tmp_path / ".tasador" / "store").as_uri()))
    twice = answered(["a", "order-4711"], 1, LSTAT=[5.0, None], prediction=[20.0, 30.0])
    await log.write(answered(["old"], 60, LSTAT=[1.0]), partition=day(60))
    await log.write(twice, twice, partition=day(1))
    await log.write(
        answered(["b"], 0, LSTAT=[7.0], prediction=[10.0], model_version=["2"], RM=["six"]),
        answered(
            ["c"], 0, prediction=[12.0], model_version=["3"], RM=[6.5]
        ),  # without the feature, and of another type
        partition=day(0),
    )
    labels = answered(["a", "a", "b"], 1, actual=[1.0, 22.0, 10.0], labelled_at=[NOW, NOW + timedelta(1), NOW])
    await log.write(labels, partition=day(1, LABELS))
    return tmp_path


@pytest.fixture
def db(root: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute(f"SET file_search_path = '{root}'; SET TimeZone = 'UTC'")
        connection.execute(f"CREATE MACRO current_date() AS DATE '{NOW:%Y-%m-%d}'")
        connection.execute(MACRO)
        yield connection


def answers(db: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, object]]:
    cursor = db.execute(query)
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def test_each_row_is_counted_once_by_day_and_version(db: duckdb.DuckDBPyConnection) -> None:
    found = [(str(row["date"]), row["model_version"], row["predictions"], row["mean"]) for row in answers(db, DAILY)]
    assert found == [(day(1).day, "1", 2, 25.0), (day(0).day, "2", 1, 10.0), (day(0).day, "3", 1, 12.0)]


def test_the_latest_rows_of_a_feature_and_how_it_moved(db: duckdb.DuckDBPyConnection) -> None:
    assert [(row["request_id"], row["LSTAT"]) for row in answers(db, LATEST)] == [("b", 7.0), ("a", 5.0)]
    assert [(row["n"], row["mean"], row["null_rate"]) for row in answers(db, MOVED)] == [(2, 5.0, 0.5), (2, 7.0, 0.5)]


def test_a_request_is_found(db: duckdb.DuckDBPyConnection) -> None:
    (found,) = answers(db, REQUEST)
    assert (found["prediction"], found["LSTAT"]) == (30.0, None)


def test_only_the_days_that_are_asked_for_are_opened(db: duckdb.DuckDBPyConnection) -> None:
    ((_, explained),) = db.execute(f"EXPLAIN ANALYZE {DAILY}").fetchall()
    assert re.search(r"Scanning Files: 4/5|Total Files Read: 4\b", explained), explained


def test_the_latest_label_of_a_row_counts(db: duckdb.DuckDBPyConnection) -> None:
    assert answers(db, LABELLED) == [
        {"model_version": "1", "n": 1, "rmse": 2.0, "bias": -2.0},
        {"model_version": "2", "n": 1, "rmse": 0.0, "bias": 0.0},
    ]


def test_pandas_and_pyarrow_read_it_as_the_page_says(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    (code,) = re.findall(r'-c "\n(.*?)"\n```', PAGE, re.DOTALL)
    (reading,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    for directory in (root / ".tasador" / "store" / LOG / MODEL).glob(f"date={day(0).day}"):
        for file in directory.iterdir():
            file.unlink()  # versions that differ
    names: dict[str, object] = {}
    exec(code, names)
    log = names["log"]
    assert isinstance(log, pd.DataFrame)
    assert sorted(log["request_id"]) == ["a", "old", "order-4711"]
    exec(reading.replace("2026-01-31", day(30).day), names)
    assert isinstance(names["rows"], pa.Table)
    assert isinstance(names["log"], ds.Dataset)
    assert len(names["rows"]) == 4
