import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from services.scorer.fleet import Fleet
from shared.jobs import target_window
from shared.keys import Keys
from shared.replica import Replica
from shared.settings import CommonSettings


async def test_the_fleet_is_counted_once_a_second_however_often_that_is_asked_for(
    redis: Redis, redis_url: str, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("services.scorer.fleet.monotonic", lambda: now)
    fleet = Fleet(redis, keys, event_bytes=1000)

    async def window_with(scorers: int) -> int:
        for one in range(scorers):
            settings = CommonSettings(redis_url=SecretStr(redis_url), replica_id=f"scorer-{one}", tenant=keys.tenant)
            await Replica("scorer", settings, redis).announce()
        await fleet.refresh()
        return fleet.window

    assert await window_with(3) == target_window(3)
    now = 100.9
    assert await window_with(5) == target_window(3)
    now = 101.0
    assert await window_with(5) == target_window(5)
    now = 101.9
    assert await window_with(8) == target_window(5)
