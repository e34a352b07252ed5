"""Asking another worker, which answers, has no model, hangs, or has gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.gateway.figures import Figures
from services.gateway.fleet import Fleet, Told
from services.gateway.health import Health
from services.gateway.sockets import Sockets
from services.gateway.tally import Predictions
from shared.process import listen


def told(*, model_loaded: bool = True) -> Told:
    health = Health(
        status="healthy", model_loaded=model_loaded, model_version="1", uptime_hours=1, total_predictions=7, warnings=[]
    )
    return Told(health=health, figures=Figures.of(Predictions(), 1.0), families=[])


class Other:
    """A worker that says what it is told to say; nothing when that is nothing."""

    def __init__(self) -> None:
        self.says: Told | None = told()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if self.says is not None:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + self.says.model_dump_json().encode())
        else:
            await reader.read()  # until the caller has gone
        writer.close()


@asynccontextmanager
async def two() -> AsyncIterator[tuple[Fleet, Other, asyncio.Server, dict[str, tuple[str, int]]]]:
    """The fleet as worker 1 sees it, worker 2, where that listens, and a request to both."""
    other = Other()
    server = await asyncio.start_server(other.answer, "127.0.0.1", 0)
    with listen("127.0.0.1", 0, "X") as own, listen("127.0.0.1", 0, "X") as shared:
        address = server.sockets[0].getsockname()
        fleet = Fleet(Sockets(own, 1, shared, (), {2: address}), told, seconds=0.2)
        yield fleet, other, server, {"server": shared.getsockname()}
        server.close()


async def test_whether_others_serve_is_what_they_say_of_their_model() -> None:
    async with two() as (fleet, other, server, _):
        assert await fleet.others_serve()
        other.says = told(model_loaded=False)
        assert not await fleet.others_serve()
        server.close()
        assert not await fleet.others_serve()


async def test_of_one_that_is_silent_the_last_that_it_said_counts() -> None:
    async with two() as (fleet, other, _, request):
        assert [(worker.number, worker.answers) for worker in await fleet.asked(request)] == [(1, True), (2, True)]
        other.says = None
        (_, silent) = await fleet.asked(request)
        assert not silent.answers
        assert silent.told is not None
        assert silent.told.health.total_predictions == 7
        assert not await fleet.others_serve()
