"""A download through the death of the gateway that served it."""

import asyncio
import csv
import io
from pathlib import Path

import pytest
from redis.asyncio import Redis

from shared.store import Store
from tasador.client import Client
from tests.integration.by_hand import HEADER, HandScorer, ready_store
from tests.integration.test_gateway_process import a_process, announced
from tests.ports import free_port
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROWS = 12_000
NOTE = 'a "note"\nof two lines' * 60  # 1.3 kB: the whole is more than sockets hold


@pytest.fixture
async def store(tmp_path: Path) -> Store:
    return await ready_store(tmp_path)


def table() -> io.BytesIO:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*HEADER.split(","), "note"])
    writer.writerows([row, 10.5, 2, "north", "a", f"{row} {NOTE}"] for row in range(ROWS))
    return io.BytesIO(text.getvalue().encode())


async def test_results_are_read_on_when_the_gateway_was_killed_half_way(
    redis_url: str, redis: Redis, store: Store, tmp_path: Path
) -> None:
    port = free_port()
    with (
        a_process(tmp_path, redis_url, store, gateway_port=port) as gateway,
        Client(f"http://127.0.0.1:{port}") as client,
    ):
        await announced(redis)
        submitted = await asyncio.to_thread(
            lambda: client.submit(table(), content_type="text/csv", passthrough=["note"])
        )
        await HandScorer(redis, store).work()
        results = client.results(submitted.id)
        begun = await asyncio.to_thread(lambda: [next(results) for _ in range(100)])
        gateway.kill()
        gateway.start()
        rest = await asyncio.to_thread(lambda: list(results))
        assert [(result.index, result.prediction, result.passed) for result in begun + rest] == [
            (row, float(row), {"note": f"{row} {NOTE}"}) for row in range(ROWS)
        ]

        async def was_asked() -> bool:
            answered = (await asyncio.to_thread(lambda: client._http.send("GET", "/metrics"))).text
            return 'code="200",method="GET",route="/jobs/{id}/results"} 1' in answered

        await eventually(was_asked)  # the second gateway; it counts what it has sent
