import asyncio

import pytest

from shared.tasks import end, until_cancelled


async def test_a_loop_ends_although_a_library_swallowed_its_cancellation() -> None:
    waiting = asyncio.Event()

    async def loop() -> None:
        for _ in until_cancelled():
            waiting.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                continue  # as redis-py does

    task = asyncio.create_task(loop())
    await waiting.wait()
    await end([task])
    assert task.cancelled()


async def test_a_task_that_failed_is_only_ended() -> None:
    async def fail() -> None:
        raise ValueError("seen elsewhere")

    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    await end([task])
    with pytest.raises(ValueError, match="seen elsewhere"):
        task.result()
