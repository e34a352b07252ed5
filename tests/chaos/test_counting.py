"""What was answered is counted, once, whatever dies: a monitor over and over, or a gateway in the middle of traffic."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from shared.artifact import Champion, read_champion, write_champion
from shared.store import Store
from tests.artifacts import a_champion, an_artifact
from tests.chaos.counting import (
    BATCH,
    LOGGED,
    Answered,
    Caller,
    Site,
    a_table_with_errors,
    all_of,
    get,
    samples,
)
from tests.integration.gateway import desire
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

KILLS = 5
PREDICTIONS = 200_000
BATCHES, SINGLES = 60, 3_000
"""Requests of one phase, in which the monitor is killed and started again."""
PHASE = BATCHES * BATCH + SINGLES
JOB_ROWS, BAD = 10_000, 50
LITTLE_ROOM = 3_000_000
"""Bytes of the stream of predictions: it fills up while there is no monitor."""
LAST_BUFFER = 1_000
"""Rows, the most of one event; what a connection or two can ask for in 100 ms is less."""


@pytest.fixture
async def site(tmp_path: Path, redis_url: str, redis: Redis, store: Store) -> AsyncIterator[Site]:
    await a_champion(store)
    with Site(tmp_path, redis_url, redis, store) as running:
        yield running


async def test_a_monitor_that_is_killed_over_and_over_counts_everything_once(site: Site, store: Store) -> None:
    gateway = await site.address(site.start("gateway", gateway_chunk_rows=50, gateway_telemetry_bytes=LITTLE_ROOM))
    slow = site.start("scorer", scorer_max_rows_per_second=100)
    await site.address(slow)
    monitor, answered = site.monitor(), Answered()
    first = await read_champion(store, "model")
    second = Champion(version="2", epoch=2, digest=await an_artifact(store, version="2", seed=1))
    callers = Caller(gateway, answered, 1), Caller(gateway, answered, 2)
    jobs = [await submitted(gateway)]

    dice = random.Random()
    for kill in range(KILLS):
        await site.address(monitor)
        if kill == KILLS // 2:
            await serve(site, store, gateway, second)
            jobs.append(await submitted(gateway))
        await eventually(lambda: are_at_work(gateway, jobs))
        begun = answered.total
        calling = asyncio.create_task(call(callers))
        before = dice.randint(1, PHASE // 2)
        await answered.reach(begun + before)
        monitor.kill()
        tell(f"kill {kill + 1} after {answered.total:,} predictions")
        await answered.reach(begun + before + dice.randint(1, PHASE // 3))
        monitor = site.monitor()
        await calling

    site.start("scorer")
    ended = [await get(gateway, f"{job}?wait=60") for job in jobs]
    batches, singles = divmod(PREDICTIONS - answered.total, BATCH)
    await all_of((callers[0].batches, batches), (callers[1].singles, singles))

    figures = await check(site, await site.address(monitor), gateway, answered, ended)
    for champion in (first, second):
        assert champion is not None
        await write_champion(store, "model", champion)
        await check_bins(await site.address(monitor), figures["windows"]["1h"]["by_version"])


async def test_a_gateway_that_is_killed_loses_at_most_its_last_buffer(site: Site) -> None:
    victim, survivor = site.start("gateway"), site.start("gateway")
    urls = [await site.address(victim), await site.address(survivor)]
    monitor = await site.address(site.monitor())
    lost, kept = Answered(), Answered()

    def until_it_dies(seed: int) -> None:
        with suppress(AssertionError, ConnectionError):  # it was broken off
            Caller(urls[0], lost, seed).singles()

    async def kill_it() -> None:
        await lost.reach(random.randint(2_000, 6_000))
        victim.kill()

    others = [(Caller(urls[1], kept, 3).singles, 5_000), (Caller(urls[1], kept, 4).batches, 50)]
    callers = [(until_it_dies, 1), (until_it_dies, 2)]
    await asyncio.gather(all_of(*callers, *others), kill_it())

    counters = await site.sent(urls[1])
    assert counters["answered"] == counters["sent"] == kept.total
    figures = await site.settled(monitor)
    of_victim = figures["received"] - kept.total
    tell(f"the victim answered {lost.total:,} rows, of which {lost.total - of_victim} are in no figure")
    # A row may be counted whose answer was cut off on its way.
    assert -len(callers) <= lost.total - of_victim <= LAST_BUFFER
    assert figures["dropped"][LOGGED] == 0, "what went with its last buffer is in neither"
    assert figures["lifetime"]["all"]["by_mode"]["batch"] == kept.rows["batch", "1"]
    assert figures["lifetime"]["all"]["by_mode"]["single"] == kept.rows["single", "1"] + of_victim


async def call(callers: tuple[Caller, Caller]) -> None:
    batches, singles = callers
    await all_of((batches.batches, BATCHES), (singles.singles, SINGLES))


async def submitted(gateway: str) -> str:
    """Return the path of a job of `JOB_ROWS` rows, some of them bad."""
    body = a_table_with_errors(JOB_ROWS, BAD)
    async with httpx.AsyncClient(base_url=gateway, timeout=60) as client:
        answer = await client.post("/jobs", content=body, headers={"content-type": "application/x-ndjson"})
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    return str(answer.json()["links"]["self"])


async def are_at_work(gateway: str, jobs: list[str]) -> bool:
    """Whether each job is at work: a kill has to meet it there."""
    states = [await get(gateway, job) for job in jobs]
    assert not [job["state"] for job in states if job["state"] not in ("queued", "running")]
    return all(state["rows"]["done"] > 0 for state in states)


async def serve(site: Site, store: Store, gateway: str, champion: Champion) -> None:
    await write_champion(store, "model", champion)
    await desire(site.redis, site.keys.model("model"), champion.version, champion.epoch, champion.digest)

    async def serves_it() -> bool:
        return bool((await get(gateway, "/health"))["model_version"] == champion.version)

    await eventually(serves_it)


async def check(
    site: Site, monitor: str, gateway: str, answered: Answered, jobs: list[dict[str, Any]]
) -> dict[str, Any]:
    assert answered.total == PREDICTIONS
    assert await samples(gateway, "tasador_gateway_predictions_total") == answered.rows
    counters = await site.sent(gateway)
    assert counters["answered"] == counters["sent"] + counters["dropped"] == PREDICTIONS

    async def figures_that_add_up() -> dict[str, Any]:
        """What was dropped is told when the stream has room again."""
        found = await site.settled(monitor)
        assert found["received"] + found["dropped"][LOGGED] == PREDICTIONS
        return found

    figures = await eventually(figures_that_add_up)
    tell(f"the gateway says {counters}; received {figures['received']:,}, dropped {figures['dropped']}")

    assert (figures["received"], figures["dropped"][LOGGED]) == (counters["sent"], counters["dropped"])
    assert figures["dropped"].get("chunk.scored.v1", 0) == figures["invalid_events"] == 0
    bad = JOB_ROWS // BAD
    assert figures["finished_jobs"] == {"completed": 2, "rows": 2 * JOB_ROWS, "failed_rows": 2 * bad}
    assert [(job["state"], job["rows"]["failed"], job["model_version"]) for job in jobs] == [
        ("completed", bad, "1"),
        ("completed", bad, "2"),
    ]
    for counted in (figures["lifetime"], figures["windows"]["1h"]):
        modes, versions = counted["all"]["by_mode"], counted["by_version"]
        assert modes["single"] + modes["batch"] == figures["received"]
        assert counted["all"]["failed_by_mode"] == {"single": 0, "batch": answered.refused, "job": 2 * bad}
        assert {version: of["by_mode"]["job"] for version, of in versions.items()} == dict.fromkeys(
            "12", JOB_ROWS - bad
        )
        assert all(0 < versions[v]["by_mode"][mode] <= rows for (mode, v), rows in answered.rows.items())
    return figures


async def check_bins(monitor: str, versions: dict[str, Any]) -> None:
    """Each column's bins hold every row of the champion once."""
    found = await get(monitor, "/drift?window=1h")
    total = versions[found["model_version"]]["total_predictions"]
    columns = [*found["features"].values(), found["prediction"]]
    assert [found["n"], *(column["n"] for column in columns)] == [total] * (1 + len(columns))


def tell(text: str) -> None:
    """pytest shows it when the test has failed."""
    sys.stderr.write(f"{text}\n")
