"""Estimated errors on their way: a scorer's events, and what a monitor answers, on a real server."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from shared import artifact
from shared.engine import load_model
from shared.error_estimate import MOST_ROWS
from shared.events import ChunkScored
from shared.keys import Keys
from shared.scripts import JobQueue
from shared.store import Store
from tests.artifacts import a_champion, an_artifact
from tests.faulty import Faults
from tests.integration.test_monitor import Monitors, get, total
from tests.integration.test_poison import POISON, poisoned
from tests.integration.test_scorer import reached, ready
from tests.redis_server import RedisServer
from tests.scorers import Fleet, Jobs
from tests.waiting import eventually


async def events(redis: Redis, keys: Keys) -> list[ChunkScored]:
    found: Any = await redis.xrange(keys.stream(ChunkScored.stream))
    return sorted((ChunkScored.of_entry(fields) for _, fields in found), key=lambda event: event.chunk)


async def test_a_chunk_tells_how_wrong_its_rows_probably_are(
    redis: Redis, keys: Keys, queue: JobQueue, store: Store, fleet: Fleet
) -> None:
    jobs = await Jobs.of(queue, store, errors=True)
    fleet.start(scorer_lease_seconds=60)  # what is taken over counts as suspected
    await ready(redis)
    x = jobs.rows(5000)
    await reached(jobs, await jobs.submit(x, 2500), "completed")
    model = load_model(await artifact.fetch(store, "model", "1", errors=True))
    assert model.errors is not None
    found = await events(redis, keys)
    assert [event.chunk for event in found] == [0, 1]
    for event in found:
        mine = x[event.chunk * 2500 :][:2500]
        assert event.counts.items() >= model.errors.summarise(mine).items()
        assert event.counts["e:n"] == 2500 > MOST_ROWS


async def test_rows_that_are_suspected_never_meet_the_error_model(
    redis: Redis, keys: Keys, queue: JobQueue, store: Store, fleet: Fleet
) -> None:
    jobs = await Jobs.of(queue, store, errors=True)
    fleet.start(Faults(raise_at=POISON), scorer_lease_seconds=60)
    await ready(redis)
    spec = await jobs.submit(poisoned(jobs, 200, 130), 100)
    await reached(jobs, spec, "completed")
    whole, suspected = await events(redis, keys)
    assert (whole.counts["n"], whole.counts["e:n"]) == (100, 100)
    assert suspected.counts["n"] == 99
    assert "e:n" not in suspected.counts


@pytest.fixture
async def monitors(tmp_path: Path, redis_server: RedisServer, keys: Keys) -> AsyncIterator[Monitors]:
    """Version 1 serves, and has an error model; version 2 has none."""
    store = Store.open((tmp_path / "state" / "store").as_uri())
    await a_champion(store, errors=True)
    await an_artifact(store, version="2", seed=2)
    found = await artifact.fetch(store, "model", "1")
    redis = Redis.from_url(redis_server.url, decode_responses=True)
    yield Monitors(tmp_path, redis_server, redis, store, found.signature, found.profile, keys)
    await redis.aclose()


async def test_a_monitor_tells_the_error_that_the_rows_suggest(monitors: Monitors) -> None:
    model = load_model(await artifact.fetch(monitors.store, "model", "1", errors=True))
    figures = model.manifest.error_model
    assert model.errors is not None
    assert figures is not None
    answered = monitors.event(400, 0, 1)
    x = np.array(answered.features, np.float64).T
    chunk = monitors.chunk(0, 100)
    chunk.counts.update(model.errors.summarise(x[:100]))
    mean = (model.errors.summarise(x)["e:s1"] + chunk.counts["e:s1"]) / 500 / 2**20 * figures.mae

    async with monitors.running() as client:
        await monitors.send(answered, chunk, monitors.event(50, 400, 2, model_version="2"))

        async def counted() -> bool:
            return await total(client) == 550

        await eventually(counted)
        stats = await get(client, "/stats")
        text = (await client.get("/metrics")).text
    for window in (*stats["windows"].values(), stats["lifetime"]):
        assert window["by_version"]["2"]["estimated_error"] is None
        found = window["by_version"]["1"]["estimated_error"]
        assert found == window["all"]["estimated_error"]
        assert found["mae"] == pytest.approx(mean, rel=1e-9)
        assert (found["n"], found["training_mae"]) == (500, figures.mae)
        assert found["ci"][0] < found["mae"] < found["ci"][1]
    families = {family.name: family for family in text_string_to_metric_families(text)}
    shown = {sample.labels["window"]: sample.value for sample in families["tasador_monitor_estimated_mae"].samples}
    assert shown == pytest.approx({"5m": mean, "1h": mean, "24h": mean}, rel=1e-9)
