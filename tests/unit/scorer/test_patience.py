from collections.abc import Awaitable, Callable

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from services.scorer.patience import ATTEMPTS, JobImpossible, StoreAway, insist, until_answered
from shared.store import ObjectNotFound


def failing(times: int, error: Exception) -> tuple[Callable[[], Awaitable[str]], list[int]]:
    calls: list[int] = []

    async def call() -> str:
        calls.append(1)
        if len(calls) <= times:
            raise error
        return "answer"

    return call, calls


async def test_what_works_later_is_waited_for() -> None:
    call, calls = failing(ATTEMPTS - 1, OSError("disk"))
    assert await insist("input", call, pause=0) == "answer"
    assert len(calls) == ATTEMPTS


async def test_only_what_is_missing_every_time_is_gone() -> None:
    call, _ = failing(ATTEMPTS - 1, ObjectNotFound("key"))
    assert await insist("input", call, pause=0) == "answer"
    call, _ = failing(ATTEMPTS, ObjectNotFound("key"))
    with pytest.raises(JobImpossible, match="input: the store has no object 'key'"):
        await insist("input", call, pause=0)


async def test_a_store_that_does_not_answer_is_no_reason_to_fail_a_job() -> None:
    call, _ = failing(ATTEMPTS, OSError("disk"))
    with pytest.raises(StoreAway, match="input: disk"):
        await insist("input", call, pause=0)


async def test_a_bug_is_not_tried_again() -> None:
    call, calls = failing(ATTEMPTS, TypeError("bug"))
    with pytest.raises(TypeError):
        await insist("input", call, pause=0)
    assert len(calls) == 1


async def test_redis_is_asked_until_it_answers() -> None:
    call, calls = failing(50, RedisConnectionError("away"))
    assert await until_answered(call, pause=0) == "answer"
    assert len(calls) == 51
