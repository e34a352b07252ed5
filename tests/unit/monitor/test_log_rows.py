"""A table of the log is what was sent."""

import io
from datetime import UTC, datetime

import numpy as np
import pyarrow.parquet as pq
import pytest

from services.monitor.fold import InvalidEvent
from services.monitor.log.rows import by_day, column_names, to_parquet, to_table
from shared.logged import UNKNOWN
from tests.unit.monitor.builders import a_signature, an_event


def test_codes_become_text_and_nulls_stay_null() -> None:
    x = np.array([[1.5, 0.0, 3.0], [np.nan, np.nan, 4.0], [2.0, -1.0, 5.0], [2.0, 7.0, 6.0]])
    table = to_table(an_event(x, [10.0, 11.0, 12.0, 13.0]), a_signature())
    assert table["size"].to_pylist() == [1.5, None, 2.0, 2.0]
    assert table["grade"].to_pylist() == ["a", None, UNKNOWN, UNKNOWN]
    assert table["prediction"].to_pylist() == [10.0, 11.0, 12.0, 13.0]


def test_a_feature_that_has_the_name_of_a_column_is_told_apart() -> None:
    assert column_names(a_signature()) == ["size", "grade", "feature.time"]
    table = to_table(an_event(np.array([[1.0, 0.0, 3.0]]), [1.0], time=[1_700_000_000.123456]), a_signature())
    assert table["feature.time"].to_pylist() == [3.0]
    assert table["time"].to_pylist() == [datetime(2023, 11, 14, 22, 13, 20, 123456, UTC)]


def test_rows_are_split_by_the_day_of_their_answer_in_utc() -> None:
    midnight = 1_700_006_400.0
    event = an_event(np.zeros((3, 3)), time=[midnight - 0.5, midnight, midnight + 86_399])
    days = {day: table["request_id"].to_pylist() for day, table in by_day(to_table(event, a_signature()))}
    assert days == {"2023-11-14": ["r0"], "2023-11-15": ["r1", "r2"]}


def test_the_file_names_its_schema() -> None:
    table = to_table(an_event(), a_signature())
    read = pq.read_table(io.BytesIO(to_parquet(table)))
    assert read.equals(table)
    assert read.schema.metadata[b"tasador.schema"] == b"1"


def test_a_time_that_cannot_be_is_invalid() -> None:
    with pytest.raises(InvalidEvent, match="time"):
        to_table(an_event(np.zeros((1, 3)), time=[float("nan")]), a_signature())
