"""Logging predictions: nothing is lost without being counted, and nothing waits for it."""

import asyncio
import math

from redis.exceptions import ConnectionError as RedisConnectionError

from services.gateway.telemetry import Buffer, Logged, PredictionLogger
from shared.engine import Model
from shared.events import PredictionsLogged
from tests.unit.gateway.fakes import a_model
from tests.waiting import eventually

MODEL = a_model()


def a_row(position: int = 0, model: Model = MODEL) -> Logged:
    return Logged(model, "id", position, "single", 1.5, 0.001, [1.0, math.nan, -1.0], 30.5)


def events(buffer: Buffer, limit: int = 1000) -> list[PredictionsLogged]:
    found = []
    while block := buffer.take(limit):
        found.append(PredictionsLogged.of_entry({"__data__": block.event}))
    return found


class Stream:
    """Where events go; `state` is what happens to the next ones."""

    def __init__(self) -> None:
        self.state = "up"
        self.events: list[PredictionsLogged] = []

    async def publish(self, event: str) -> bool:
        if self.state == "away":
            raise RedisConnectionError("away")
        if self.state == "hangs":
            await asyncio.sleep(3600)
        if self.state == "up":
            self.events.append(PredictionsLogged.of_entry({"__data__": event}))
        return self.state == "up"


def a_logger(stream: Stream, capacity: int = 1000, rows: int = 10) -> PredictionLogger:
    return PredictionLogger(Buffer("replica", capacity), stream.publish, seconds=0.001, rows=rows)


def test_an_event_holds_the_rows_in_columns() -> None:
    buffer = Buffer("replica", 10)
    buffer.add([a_row(), a_row(1)])
    (event,) = events(buffer)
    expected = {
        "replica": "replica",
        "sequence": 1,
        "answered_before": 0,
        "rows": 2,
        "model_name": "model",
        "model_version": "1",
        "request_id": ["id", "id"],
        "index": [0, 1],
        "mode": ["single", "single"],
        "time": [1.5, 1.5],
        "latency": [0.001, 0.001],
        "features": [[1.0, 1.0], [None, None], [-1.0, -1.0]],
        "prediction": [30.5, 30.5],
    }
    assert event.model_dump(include=set(expected)) == expected
    assert set(PredictionsLogged.model_fields) == {"event_id", "occurred_at", *expected}


def test_an_event_is_of_one_version_and_at_most_so_large() -> None:
    buffer, other = Buffer("replica", 100), a_model("2")
    buffer.add([a_row()] * 5 + [a_row(model=other)] * 2 + [a_row()])
    found = events(buffer, limit=3)
    assert [(e.model_version, e.rows, e.sequence) for e in found] == [
        ("1", 3, 1),
        ("1", 2, 2),
        ("2", 2, 3),
        ("1", 1, 4),
    ]
    assert [e.answered_before for e in found] == [0, 3, 5, 7]


def test_rows_beyond_the_capacity_are_dropped_counted_and_seen_in_the_next_event() -> None:
    buffer = Buffer("replica", 3)
    buffer.add([a_row()] * 5)
    events(buffer)
    buffer.add([a_row()])
    (event,) = events(buffer)
    assert (buffer.answered, buffer.dropped) == (6, 2)
    assert event.answered_before == 5
    assert buffer.dropping(60)


async def test_rows_are_sent_soon() -> None:
    stream = Stream()
    logger = a_logger(stream)
    task = asyncio.create_task(logger.run())
    logger.add([a_row()] * 25)

    async def all_sent() -> bool:
        return logger.buffer.sent == 25

    await eventually(all_sent)
    task.cancel()
    assert [e.rows for e in stream.events] == [10, 10, 5]
    assert logger.waiting == 0


async def test_while_redis_is_away_rows_wait_and_the_same_event_is_sent_later() -> None:
    stream = Stream()
    stream.state = "away"
    logger = a_logger(stream, capacity=30)
    logger.add([a_row()] * 30)
    task = asyncio.create_task(logger.run())

    async def tried() -> bool:
        return logger.waiting > len(logger.buffer)

    await eventually(tried)
    logger.add([a_row()] * 100)  # ten find room, for ten are in the event that waits
    stream.state = "up"

    async def all_sent() -> bool:
        return logger.waiting == 0

    await eventually(all_sent)
    task.cancel()
    assert (logger.buffer.answered, logger.buffer.sent, logger.buffer.dropped) == (130, 40, 90)
    assert [e.sequence for e in stream.events] == [1, 2, 3, 4]


async def test_what_the_server_has_no_room_for_is_counted_as_dropped() -> None:
    stream = Stream()
    stream.state = "full"
    logger = a_logger(stream)
    logger.add([a_row()] * 7)
    await logger.flush(everything=True)
    stream.state = "up"
    logger.add([a_row()])
    await logger.flush()
    assert (logger.buffer.sent, logger.buffer.dropped, logger.waiting) == (1, 7, 0)
    assert stream.events[0].answered_before == 7


async def test_at_the_end_everything_is_sent() -> None:
    stream = Stream()
    logger = a_logger(stream)
    logger.add([a_row()] * 25)
    await logger.drain(5)
    assert (logger.buffer.sent, logger.buffer.dropped) == (25, 0)


async def test_a_server_that_does_not_answer_does_not_hold_up_the_end() -> None:
    stream = Stream()
    stream.state = "hangs"
    logger = a_logger(stream)
    logger.add([a_row()] * 25)
    await logger.drain(0.01)
    assert (logger.buffer.sent, logger.buffer.dropped) == (0, 25)
