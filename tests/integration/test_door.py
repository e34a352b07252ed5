"""A worker's part of a port, in this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.responses import PlainTextResponse

from services.gateway.door import Door
from services.gateway.sockets import Sockets
from shared.process import listen
from shared.tasks import end

ASK = b"GET / HTTP/1.1\r\nhost: workers\r\n\r\n"


@asynccontextmanager
async def a_door(
    serves: asyncio.Event, others_serve: asyncio.Event | None = None
) -> AsyncIterator[tuple[Door, asyncio.Task[None], int]]:
    """The door of one of two workers, what keeps it, and its port."""
    ours = listen("127.0.0.1", 0, "X", several=True)
    port = ours.getsockname()[1]
    theirs = listen("127.0.0.1", port, "X", several=True)
    theirs.setblocking(False)
    server = uvicorn.Server(uvicorn.Config(PlainTextResponse("ours"), lifespan="off", log_config=None))
    server.config.load()
    with listen("127.0.0.1", 0, "X") as own, ours, theirs:

        async def another_serves() -> bool:
            return others_serve is None or others_serve.is_set()

        sockets = Sockets(own, 1, ours, (theirs,))
        door = Door(sockets, server, serves.is_set, another_serves, patience=0.02)
        keeping = asyncio.create_task(door.keep())
        yield door, keeping, port
        await end([keeping])


async def ask(port: int) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(ASK)
    answer = await reader.readuntil(b"ours")
    writer.close()
    return answer.decode()


async def test_nothing_is_taken_before_it_serves_and_then_all_that_waits() -> None:
    serves = asyncio.Event()
    async with a_door(serves) as (_, _, port):
        waiting = [asyncio.create_task(ask(port)) for _ in range(20)]  # in both queues
        done, _ = await asyncio.wait(waiting, timeout=0.1)
        assert not done
        serves.set()
        assert len(await asyncio.gather(*waiting)) == 20


async def test_where_no_other_serves_it_takes_what_waits_to_say_why() -> None:
    others_serve = asyncio.Event()
    others_serve.set()
    async with a_door(asyncio.Event(), others_serve) as (_, _, port):
        waiting = asyncio.create_task(ask(port))
        done, _ = await asyncio.wait([waiting], timeout=0.1)
        assert not done
        others_serve.clear()
        await waiting


async def test_who_is_connected_when_it_leaves_may_ask_once_more() -> None:
    serves = asyncio.Event()
    serves.set()
    async with a_door(serves) as (door, keeping, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(ASK)
        assert b"connection: close" not in await reader.readuntil(b"ours")
        await end([keeping])
        leaving = asyncio.create_task(door.leave())
        await asyncio.sleep(0)
        assert not leaving.done()
        writer.write(ASK)
        assert b"connection: close" in await reader.read()
        writer.close()
        await leaving
