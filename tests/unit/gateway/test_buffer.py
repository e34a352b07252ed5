"""Waiting predictions: in order, of one version to an event, bounded, and each counted once."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.buffer import Buffer, Event, ScoredRows
from shared.engine import Model
from shared.events import PredictionsLogged
from tests.unit.gateway.fakes import A, a_model

ONE, OTHER, NARROW = a_model("1"), a_model("2"), a_model("3", A)
ROW = [1.0, math.nan, -1.0]


def add(buffer: Buffer, times: int = 1, model: Model = ONE) -> None:
    for _ in range(times):
        buffer.add(model, "id", ROW[: len(model.signature.features)], 30.5, 0.001)


def a_batch(rows: int, model: Model = ONE, first: int = 0) -> ScoredRows:
    indexes = np.arange(first, first + rows)
    matrix = np.full((rows, len(model.signature.features)), 7.0)
    return ScoredRows(indexes, matrix, indexes / 4, 0.002)


def text(event: Event) -> bytes:
    turns = 0
    work = event.text()
    while True:
        try:
            work.send(None)
        except StopIteration as done:
            assert turns == len(event.columns), "it would hold the event loop"
            found: bytes = done.value
            return found
        turns += 1


def events(buffer: Buffer) -> list[PredictionsLogged]:
    found = []
    while event := buffer.take():
        found.append(PredictionsLogged.of_entry({"__data__": text(event)}))
        assert found[-1].rows == event.rows
    return found


def test_an_event_holds_the_rows_in_columns() -> None:
    buffer = Buffer("replica", 10, 10)
    buffer.add(ONE, "a", ROW, 30.5, 0.001)
    buffer.add_batch(ONE, "b", a_batch(2, first=4))
    (event,) = events(buffer)
    expected: dict[str, Any] = {
        "replica": "replica",
        "sequence": 1,
        "answered_before": 0,
        "rows": 3,
        "model_name": "model",
        "model_version": "1",
        "request_id": ["a", "b", "b"],
        "index": [0, 4, 5],
        "mode": ["single", "batch", "batch"],
        "latency": [0.001, 0.002, 0.002],
        "features": [[1.0, 7.0, 7.0], [None, 7.0, 7.0], [-1.0, 7.0, 7.0]],
        "prediction": [30.5, 1.0, 1.25],
    }
    assert event.model_dump(include=set(expected)) == expected
    assert event.time == pytest.approx([event.occurred_at.timestamp()] * 3, abs=60)
    assert set(PredictionsLogged.model_fields) == {"event_id", "occurred_at", "time", *expected}


def test_an_event_is_of_one_version_and_at_most_so_large() -> None:
    buffer = Buffer("replica", 100, 3)
    for model, times in ((ONE, 5), (OTHER, 2), (NARROW, 1), (ONE, 1)):
        add(buffer, times, model)
    found = events(buffer)
    assert [(e.model_version, e.rows, len(e.features)) for e in found] == [
        ("1", 3, 3),
        ("1", 2, 3),
        ("2", 2, 3),
        ("3", 1, 1),
        ("1", 1, 3),
    ]
    assert [e.sequence for e in found] == [1, 2, 3, 4, 5]
    assert [e.answered_before for e in found] == [0, 3, 5, 7, 8]


def test_rows_beyond_the_capacity_are_dropped_counted_and_seen_in_the_next_event() -> None:
    buffer = Buffer("replica", 3, 10)
    add(buffer, 5)
    assert not buffer.dropping(0)
    assert buffer.dropping(60)
    events(buffer)
    add(buffer)
    (event,) = events(buffer)
    assert (buffer.answered, buffer.dropped, buffer.counted().total) == (6, 2, 6)
    assert event.answered_before == 5


def test_it_tells_when_a_block_is_full() -> None:
    buffer = Buffer("replica", 100, 2)
    assert [buffer.add(ONE, "id", ROW, 1.0, 0.001) for _ in range(4)] == [False, True, False, True]
    assert not buffer.add_batch(ONE, "id", a_batch(1))
    assert buffer.add_batch(ONE, "id", a_batch(4))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 7), st.sampled_from([ONE, OTHER, NARROW])),
        st.tuples(st.just("batch"), st.integers(0, 12), st.sampled_from([ONE, OTHER])),
        st.tuples(st.sampled_from(["take", "count"]), st.just(0), st.just(ONE)),
    ),
    max_size=30,
)


@given(STEPS, st.integers(1, 12), st.integers(1, 5))
def test_every_row_is_waiting_sent_or_dropped_and_counted_once(
    steps: list[tuple[str, int, Model]], capacity: int, rows: int
) -> None:
    buffer, sent, answered = Buffer("replica", capacity, rows), list[PredictionsLogged](), Counter[tuple[str, str]]()
    for step, times, model in [*steps, ("take", 0, ONE)]:
        if step == "add":
            add(buffer, times, model)
            answered["single", model.version] += times
        elif step == "batch":
            buffer.add_batch(model, "id", a_batch(times, model))
            answered["batch", model.version] += times
        elif step == "count":
            assert buffer.counted().rows == +answered
        elif event := buffer.take():
            buffer.sent += event.rows
            sent.append(PredictionsLogged.of_entry({"__data__": text(event)}))
        assert buffer.answered == answered.total() == buffer.sent + buffer.dropped + len(buffer)
        assert len(buffer) <= capacity
    assert buffer.counted().rows == +answered
    assert [event.sequence for event in sent] == list(range(1, len(sent) + 1))
    ends = [event.answered_before + event.rows for event in sent]
    assert all(event.answered_before >= end for event, end in zip(sent[1:], ends, strict=False))
    assert all(event.rows <= rows for event in sent)
