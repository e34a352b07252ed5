"""Waiting predictions: in order, of one version to an event, bounded, and each counted once."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.blocks import ScoredRows
from services.gateway.buffer import Buffer
from services.gateway.logged import Event
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


def read(event: Event) -> PredictionsLogged:
    found = PredictionsLogged.of_entry({"__data__": text(event)})
    assert (found.rows, found.failed) == (event.rows, event.failed)
    return found


def events(buffer: Buffer) -> list[PredictionsLogged]:
    """Send everything."""
    found = []
    while event := buffer.take():
        found.append(read(event))
        buffer.sent_is(event)
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
    assert set(PredictionsLogged.model_fields) == {"event_id", "occurred_at", "time", "failed", *expected}


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
    waiting = buffer.take()
    assert waiting is not None
    buffer.sent_is(waiting)
    add(buffer)
    (event,) = events(buffer)
    assert (buffer.answered, buffer.dropped, buffer.counted().total) == (6, 2, 6)
    assert event.answered_before == 5


def test_rows_that_were_dropped_are_told_also_when_none_follow() -> None:
    buffer = Buffer("replica", 3, 10)
    add(buffer, 5)
    waiting, telling = events(buffer)
    assert (waiting.rows, waiting.answered_before) == (3, 0)
    assert (telling.rows, telling.answered_before, telling.model_version, telling.features) == (0, 5, "1", [])
    add(buffer)
    refused = buffer.take()
    assert refused is not None
    buffer.refused(refused)
    assert [(event.rows, event.answered_before) for event in events(buffer)] == [(0, 6)]
    assert not buffer.has_untold


def test_rows_that_failed_are_told_with_the_next_rows_of_their_version_or_alone() -> None:
    buffer = Buffer("replica", 100, 10)
    add(buffer, 2)
    buffer.fail(ONE, "single", 1)
    buffer.fail(ONE, "batch", 7)
    buffer.fail(ONE, "batch", 7)
    assert [(event.rows, event.failed) for event in events(buffer)] == [(2, {"single": 1, "batch": 14})]
    buffer.fail(OTHER, "single", 1)
    add(buffer)
    assert [(e.rows, e.model_version, e.failed) for e in events(buffer)] == [(0, "2", {"single": 1}), (1, "1", {})]


def test_what_an_event_without_room_would_have_told_is_told_later() -> None:
    buffer = Buffer("replica", 100, 10)
    add(buffer)
    buffer.fail(ONE, "single", 1)
    event = buffer.take()
    assert event is not None
    buffer.refused(event)
    buffer.fail(ONE, "single", 2)
    (later,) = events(buffer)
    assert (later.rows, later.answered_before, later.failed) == (0, 1, {"single": 3})
    assert (buffer.dropped, buffer.sent) == (1, 0)


def test_it_tells_when_a_block_is_full() -> None:
    buffer = Buffer("replica", 100, 2)
    assert [buffer.add(ONE, "id", ROW, 1.0, 0.001) for _ in range(4)] == [False, True, False, True]
    assert not buffer.add_batch(ONE, "id", a_batch(1))
    assert buffer.add_batch(ONE, "id", a_batch(4))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 7), st.sampled_from([ONE, OTHER, NARROW])),
        st.tuples(st.just("batch"), st.integers(0, 12), st.sampled_from([ONE, OTHER])),
        st.tuples(st.just("fail"), st.integers(1, 3), st.sampled_from([ONE, OTHER])),
        st.tuples(st.sampled_from(["take", "refuse", "count"]), st.just(0), st.just(ONE)),
    ),
    max_size=30,
)


@given(STEPS, st.integers(1, 12), st.integers(1, 5))
def test_every_row_is_waiting_sent_or_dropped_and_counted_once(
    steps: list[tuple[str, int, Model]], capacity: int, rows: int
) -> None:
    buffer, sent, answered = Buffer("replica", capacity, rows), list[PredictionsLogged](), Counter[tuple[str, str]]()
    failed = Counter[str]()
    for step, times, model in [*steps, ("take", 0, ONE)]:
        if step == "add":
            add(buffer, times, model)
            answered["single", model.version] += times
        elif step == "batch":
            buffer.add_batch(model, "id", a_batch(times, model))
            answered["batch", model.version] += times
        elif step == "count":
            assert buffer.counted().rows == +answered
        elif step == "fail":
            buffer.fail(model, "single", times)
            failed[model.version] += times
        elif event := buffer.take():
            if step == "refuse":
                buffer.refused(event)
            else:
                buffer.sent_is(event)
                sent.append(read(event))
        assert buffer.answered == answered.total() == buffer.sent + buffer.dropped + len(buffer)
        assert len(buffer) <= capacity
    assert buffer.counted().rows == +answered
    sent += events(buffer)
    assert sum((Counter({event.model_version: sum(event.failed.values())}) for event in sent), Counter()) == failed
    assert buffer.answered == (sent[-1].answered_before + sent[-1].rows if sent else 0)
    assert len({event.sequence for event in sent}) == len(sent)
    ends = [event.answered_before + event.rows for event in sent]
    assert all(event.answered_before >= end for event, end in zip(sent[1:], ends, strict=False))
    assert all(event.rows <= rows for event in sent)
