"""Scheduled trainings on a real Redis: each time is asked for once."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from services.trainer.schedule import Schedule
from shared.events import Operation, RetrainRequested
from shared.keys import Keys

pytestmark = pytest.mark.delivery

NIGHT = datetime(2026, 3, 4, 3, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
KEYS = Keys()


class Nights:
    """A params file with a schedule, and whoever looks at it."""

    def __init__(self, directory: Path, redis: Redis) -> None:
        self._path = directory / "params.yaml"
        self._redis = redis
        self.set("0 3 * * *")
        self.first, self.second = self.leader(), self.leader()

    def set(self, schedule: str) -> None:
        self._path.write_text(
            f"model: {{name: m}}\ndata: {{source: a.csv, target: y}}\nretrain: {{schedule: '{schedule}'}}\n"
        )

    def break_file(self) -> None:
        self._path.write_text("model: {name")

    def leader(self) -> Schedule:
        return Schedule(self._redis, KEYS, "m", self._path)

    async def commands(self) -> list[RetrainRequested]:
        entries: Any = await self._redis.xrange(KEYS.stream(RetrainRequested.stream))
        return [RetrainRequested.of_entry(fields) for _, fields in entries]


@pytest.fixture
def nights(tmp_path: Path, redis: Redis) -> Nights:
    return Nights(tmp_path, redis)


async def test_a_time_is_asked_for_once_by_whoever_leads(nights: Nights, redis: Redis) -> None:
    assert not await nights.first.look(NIGHT - HOUR)
    assert await nights.first.look(NIGHT)
    for leader in (nights.first, nights.second, nights.leader()):
        assert not await leader.look(NIGHT + HOUR)
    assert await nights.second.look(NIGHT + DAY)

    commands = await nights.commands()
    assert [command.trigger for command in commands] == ["schedule"] * 2
    assert "scheduled: 0 3 * * *, 2026-03-04 03:00 UTC" in commands[0].reason
    operation = Operation.model_validate_json(str(await redis.get(KEYS.operation(commands[0].operation_id))))
    assert (operation.kind, operation.state) == ("retrain", "queued")


async def test_times_that_passed_while_nobody_led_are_made_up_for_once(nights: Nights) -> None:
    assert not await nights.first.look(NIGHT - HOUR)
    assert await nights.second.look(NIGHT + 9 * DAY + HOUR)
    assert not await nights.second.look(NIGHT + 9 * DAY + HOUR)
    assert "2026-03-13 03:00" in (await nights.commands())[0].reason


async def test_a_schedule_that_is_new_or_changed_begins_with_its_next_time(nights: Nights) -> None:
    assert not await nights.first.look(NIGHT + HOUR)  # the first look ever
    nights.set("30 * * * *")
    assert not await nights.first.look(NIGHT + HOUR)
    assert await nights.first.look(NIGHT + 2 * HOUR)


async def test_a_schedule_that_was_off_makes_up_for_nothing(nights: Nights) -> None:
    await nights.first.look(NIGHT - HOUR)
    nights.set("")
    assert not await nights.first.look(NIGHT + HOUR)
    nights.set("0 3 * * *")
    assert not await nights.first.look(NIGHT + 2 * DAY)
    assert await nights.first.look(NIGHT + 3 * DAY)


async def test_a_file_that_cannot_be_read_leaves_the_schedule_as_it_was(nights: Nights) -> None:
    await nights.first.look(NIGHT - HOUR)
    nights.break_file()
    assert await nights.first.look(NIGHT)
