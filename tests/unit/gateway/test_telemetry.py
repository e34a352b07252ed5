"""Sending predictions: nothing is lost without being counted, and nothing waits for it."""

import asyncio

from redis.exceptions import ConnectionError as RedisConnectionError

from services.gateway.buffer import Buffer
from services.gateway.telemetry import PredictionLogger
from shared.events import PredictionsLogged
from tests.unit.gateway.fakes import a_model
from tests.waiting import eventually

MODEL = a_model()


def answer(logger: PredictionLogger, rows: int) -> None:
    for _ in range(rows):
        logger.add(MODEL, "id", [1.0, 2.0, 0.0], 30.5, 0.001)


class Stream:
    """Where events go; `state` is what happens to the next ones."""

    def __init__(self) -> None:
        self.state = "up"
        self.events: list[PredictionsLogged] = []

    async def publish(self, event: bytes) -> bool:
        if self.state == "away":
            raise RedisConnectionError("away")
        if self.state == "hangs":
            await asyncio.sleep(3600)
        if self.state == "up":
            self.events.append(PredictionsLogged.of_entry({"__data__": event}))
        return self.state == "up"


def a_logger(stream: Stream, capacity: int = 1000, rows: int = 10) -> PredictionLogger:
    return PredictionLogger(Buffer("replica", capacity, rows), stream.publish, seconds=0.001)


async def test_rows_are_sent_soon() -> None:
    stream = Stream()
    logger = a_logger(stream)
    task = asyncio.create_task(logger.run())
    answer(logger, 25)

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
    answer(logger, 30)
    task = asyncio.create_task(logger.run())

    async def tried() -> bool:
        return logger.waiting > len(logger.buffer)

    await eventually(tried)
    answer(logger, 100)  # ten find room, for ten are in the event that waits
    stream.state = "up"

    async def all_told() -> bool:
        return logger.waiting == 0 and not logger.buffer.has_untold

    await eventually(all_told)
    task.cancel()
    assert (logger.buffer.answered, logger.buffer.sent, logger.buffer.dropped) == (130, 40, 90)
    assert [(e.sequence, e.rows) for e in stream.events] == [(1, 10), (2, 10), (3, 10), (4, 10), (5, 0)]
    assert stream.events[-1].answered_before == 130


async def test_what_the_server_has_no_room_for_is_counted_as_dropped() -> None:
    stream = Stream()
    stream.state = "full"
    logger = a_logger(stream)
    answer(logger, 7)
    await logger.flush(everything=True)
    assert (logger.buffer.dropped, logger.waiting) == (7, 0)
    stream.state = "up"
    task = asyncio.create_task(logger.run())

    async def told() -> bool:
        return bool(stream.events)

    await eventually(told)
    task.cancel()
    assert (stream.events[0].rows, stream.events[0].answered_before) == (0, 7)


async def test_rows_that_failed_are_told_though_none_was_answered() -> None:
    stream = Stream()
    logger = a_logger(stream)
    task = asyncio.create_task(logger.run())
    logger.add_failed(MODEL, "single", 2)

    async def told() -> bool:
        return [event.failed for event in stream.events] == [{"single": 2}]

    await eventually(told)
    task.cancel()
    assert (logger.buffer.answered, logger.waiting) == (0, 0)


async def test_at_the_end_everything_is_sent() -> None:
    stream = Stream()
    logger = a_logger(stream)
    answer(logger, 25)
    await logger.drain(5)
    assert (logger.buffer.sent, logger.buffer.dropped) == (25, 0)


async def test_a_server_that_does_not_answer_does_not_hold_up_the_end() -> None:
    stream = Stream()
    stream.state = "hangs"
    logger = a_logger(stream)
    answer(logger, 25)
    await logger.drain(0.01)
    assert (logger.buffer.sent, logger.buffer.dropped) == (0, 25)
