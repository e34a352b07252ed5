import time
from datetime import UTC, datetime

import numpy as np
import pytest

from services.monitor.fold import (
    InvalidEvent,
    by_span,
    check_columns,
    encoded_rows,
    fold_chunk,
    fold_predictions,
)
from services.monitor.windows import HOUR
from shared import latency
from shared.profile import merge, summarise
from tests.unit.monitor.builders import a_chunk, a_profile, a_signature, an_event, some_rows

NOW = time.time()
MINUTE = int(NOW // 60)


def test_predictions_are_counted_in_the_minute_of_their_answer() -> None:
    profile, (x, predictions) = a_profile(), some_rows(6)
    event = an_event(x, predictions.tolist(), time=[(MINUTE - 1) * 60 + 5.0] * 2 + [MINUTE * 60.0] * 4)
    folded = fold_predictions(event, x, profile, NOW, keep_days=8)
    assert {minute: counters["rows:single"] for minute, counters in folded.items()} == {MINUTE - 1: 2, MINUTE: 4}
    assert {k: v for k, v in folded[MINUTE].items() if k in summarise(profile, x[2:], predictions[2:])} == summarise(
        profile, x[2:], predictions[2:]
    )


def test_latency_is_counted_per_mode() -> None:
    x, predictions = some_rows(3)
    event = an_event(x, predictions.tolist(), mode=["single", "batch", "batch"], latency=[0.001, 0.25, 0.25])
    counters = merge(fold_predictions(event, x, a_profile(), NOW, keep_days=8).values())
    (quarter,) = latency.bins(np.array([0.25])).tolist()
    assert (counters["rows:single"], counters["rows:batch"]) == (1, 2)
    assert (counters["ns:single"], counters["ns:batch"]) == (1_000_000, 500_000_000)
    assert counters[f"t:batch:{quarter}"] == 2


def test_rows_of_a_version_that_cannot_be_read_are_counted_without_their_features() -> None:
    counters = merge(fold_predictions(an_event(), None, None, NOW, keep_days=8).values())
    assert counters["rows:single"] == 3
    assert not any(name[0].isdigit() or name in {"n", "p:0"} for name in counters)


def test_a_chunk_adds_its_counts_and_shares_its_time_evenly() -> None:
    profile, (x, predictions) = a_profile(), some_rows(10)
    at = datetime.fromtimestamp(NOW, UTC)
    event = a_chunk(profile, x, predictions, rows=12, failed=2, seconds=0.024, occurred_at=at)
    folded = fold_chunk(event, profile, NOW, keep_days=8)
    counters = folded[MINUTE]
    assert (counters["n"], counters["rows:job"], counters["failed:job"]) == (10, 10, 2)
    assert counters["ns:job"] == 20_000_000
    assert {k: counters[k] for k in event.counts} == event.counts


def test_a_chunk_cannot_add_what_is_counted_here() -> None:
    profile, (x, predictions) = a_profile(), some_rows(2)
    event = a_chunk(profile, x, predictions)
    event = event.model_copy(update={"counts": {**event.counts, "t:job:3": 5, "rows:job": 5}})
    assert merge(fold_chunk(event, profile, NOW, keep_days=8).values())["rows:job"] == 2
    assert "t:job:3" not in merge(fold_chunk(event, profile, NOW, keep_days=8).values())


def test_estimated_errors_are_counted_with_the_minute_of_their_rows() -> None:
    profile, (x, predictions) = a_profile(), some_rows(6)
    event = an_event(x, predictions.tolist(), time=[(MINUTE - 1) * 60 + 5.0] * 2 + [MINUTE * 60.0] * 4)
    folded = fold_predictions(event, x, profile, NOW, keep_days=8, estimate=lambda rows: {"e:n": len(rows)})
    assert {minute: counters["e:n"] for minute, counters in folded.items()} == {MINUTE - 1: 2, MINUTE: 4}


def test_estimated_errors_of_a_chunk_are_counted() -> None:
    profile, (x, predictions) = a_profile(), some_rows(2)
    event = a_chunk(profile, x, predictions)
    estimated = {"e:n": 2, "e:s1": 7, "e:s2": 9}
    event = event.model_copy(update={"counts": {**event.counts, **estimated}})
    counters = merge(fold_chunk(event, profile, NOW, keep_days=8).values())
    assert {name: count for name, count in counters.items() if name.startswith("e:")} == estimated


@pytest.mark.parametrize("wrong", [{"failed": 11}, {"rows": -1}, {"counts": {"n": 1 << 60}}])
def test_an_impossible_chunk_is_invalid(wrong: dict[str, object]) -> None:
    x, predictions = some_rows(10)
    with pytest.raises(InvalidEvent):
        fold_chunk(a_chunk(a_profile(), x, predictions, **wrong), a_profile(), NOW, keep_days=8)


def test_columns_must_have_as_many_values_as_rows() -> None:
    check_columns(an_event())
    with pytest.raises(InvalidEvent, match="latency"):
        check_columns(an_event(latency=[0.1]))
    with pytest.raises(InvalidEvent, match="-1 rows"):
        check_columns(an_event(rows=-1))
    with pytest.raises(InvalidEvent, match="failed"):
        check_columns(an_event(failed={"single": -1}))


def test_failures_are_counted_in_the_minute_of_their_event_also_without_rows() -> None:
    at = datetime.fromtimestamp(MINUTE * 60 + 5.0, UTC)
    event = an_event(np.empty((0, 0)), [], failed={"single": 2, "batch": 7}, occurred_at=at)
    check_columns(event)
    x = encoded_rows(event, a_signature())
    folded = fold_predictions(event, x, a_profile(), NOW, keep_days=8)
    assert folded == {MINUTE: {"failed:single": 2, "failed:batch": 7}}
    x, predictions = some_rows(3)
    event = an_event(x, predictions.tolist(), time=[MINUTE * 60.0] * 3, failed={"single": 1}, occurred_at=at)
    counters = fold_predictions(event, x, a_profile(), NOW, keep_days=8)[MINUTE]
    assert (counters["rows:single"], counters["failed:single"], counters["n"]) == (3, 1, 3)


def test_features_must_be_those_of_the_signature() -> None:
    x, _ = some_rows(5)
    assert np.array_equal(encoded_rows(an_event(x), a_signature()), x, equal_nan=True)
    with pytest.raises(InvalidEvent, match="2 features"):
        encoded_rows(an_event(x[:, :2]), a_signature())


def test_hours_are_the_sum_of_their_minutes() -> None:
    assert by_span({59: {"n": 1}, 60: {"n": 2, "p:0": 1}, 119: {"n": 4}}, HOUR) == {
        0: {"n": 1},
        1: {"n": 6, "p:0": 1},
    }


def test_broken_clocks_do_not_break_the_sums() -> None:
    x, predictions = some_rows(3)
    event = an_event(x, predictions.tolist(), latency=[float("nan"), float("inf"), -1.0], time=[0.0, NOW * 9, NOW])
    folded = fold_predictions(event, x, a_profile(), NOW, keep_days=8)
    assert merge(folded.values())["rows:single"] == 3
    assert max(folded) == MINUTE
