"""Tasks that run until they are cancelled."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any


def until_cancelled() -> Iterator[None]:
    """Iterate for ever, but end with CancelledError once the running task was cancelled.

    redis-py swallows a cancellation now and then when it arrives between a command and its answer (seen in 1 of 10
    shutdowns with 8.1.0); a plain `while True` would then go on, and a shutdown would wait for it for ever.
    """
    while True:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
        yield


async def end(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    """Cancel tasks, and return when they have ended.

    Cancelling once is not enough, for the reason above; `until_cancelled` helps where a TaskGroup does the cancelling.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=0.2)
