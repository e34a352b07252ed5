"""Looking ahead changes nothing of what is awaited: its result, its errors, its end when the task is cancelled."""

import asyncio

import pytest

from services.gateway.begun import Begun


async def there() -> int:
    return 7


async def broken() -> int:
    raise KeyError("broken")


class Later:
    """Waits twice, and remembers how it ended."""

    def __init__(self) -> None:
        self.first, self.second = asyncio.Event(), asyncio.Event()
        self.ended = ""

    async def wait(self) -> int:
        try:
            await self.first.wait()
            await self.second.wait()
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise
        return 8


async def test_what_is_there_is_had_at_once() -> None:
    begun = Begun(there())
    assert (begun.done, begun.result) == (True, 7)
    assert await begun == 7


async def test_an_error_at_once_is_raised_at_once() -> None:
    with pytest.raises(KeyError):
        Begun(broken())


async def test_what_is_not_there_is_waited_for() -> None:
    later = Later()
    begun = Begun(later.wait())
    assert not begun.done
    for step, event in enumerate((later.first, later.second)):
        asyncio.get_running_loop().call_later(step / 1000, event.set)
    assert await begun == 8
    assert await begun == 8


@pytest.mark.parametrize("waits_for", ["first", "second"])
async def test_a_timeout_reaches_what_is_waited_for(waits_for: str) -> None:
    later = Later()
    if waits_for == "second":
        later.first.set()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await Begun(later.wait())
    assert later.ended == "cancelled"


async def test_it_is_cancelled_also_where_it_waits_for_nothing_but_its_turn() -> None:
    async def turns() -> None:
        for _ in range(100):
            await asyncio.sleep(0)

    async def rest() -> None:
        await Begun(turns())

    task = asyncio.create_task(rest())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelling_may_be_outlived() -> None:
    later = Later()

    async def stubborn() -> int:
        try:
            return await later.wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            return 9

    async with asyncio.timeout(0.001):
        assert await Begun(stubborn()) == 9
    assert later.ended == "cancelled"


async def test_a_task_that_is_given_up_closes_what_it_waits_for() -> None:
    closed = False

    async def wait() -> int:
        nonlocal closed
        try:
            await asyncio.Event().wait()
        finally:
            closed = True
        return 0

    begun = Begun(wait())
    rest = begun.__await__()
    next(rest)
    rest.close()
    assert closed
