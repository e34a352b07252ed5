"""A row that the engine cannot take costs itself: not its chunk, its job or the fleet."""

import asyncio
import json
import os
import signal
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray
from redis.asyncio import Redis

from shared.jobs import MIN_WINDOW, DeadLetter, JobSpec
from tests.faulty import EXIT_CODE, Faults
from tests.integration.test_isolation import alive, children
from tests.integration.test_scorer import reached, ready
from tests.scorers import Fleet, Jobs, Keeper
from tests.waiting import eventually

POISON = 666.0


def poisoned(jobs: Jobs, rows: int, *poison: int) -> NDArray[np.float64]:
    x = jobs.rows(rows)
    x[list(poison), 0] = POISON
    return x


async def assert_only_these_failed(jobs: Jobs, spec: JobSpec, x: NDArray[np.float64], *poison: int) -> None:
    """Every row once, in order; these are poison, all others have the model's own number."""
    records = await jobs.results(spec)
    assert [record["index"] for record in records] == list(range(len(x)))
    assert [record["index"] for record in records if record["error_code"] == "poison"] == [*poison]
    expected = [None if row in poison else found for row, found in enumerate(jobs.model.predict(x).tolist())]
    assert [record["prediction"] for record in records] == expected
    status = await jobs.status(spec)
    assert (status.done, status.failed) == (len(x), len(poison))


async def letters(jobs: Jobs, spec: JobSpec) -> list[DeadLetter]:
    """Return the dead letters of a job as its parts have them, which is as Redis has them."""
    found = [letter for part in (await jobs.queue.parts(spec.id)).values() for letter in part.dead_letters]
    return sorted(found, key=lambda letter: letter.row)


@dataclass(frozen=True)
class Ending:
    """How the engine fails, and what comes of it."""

    faults: Faults
    reason: str
    code: int | None = None
    """Exit code of the scorer that was the first to try."""
    settings: dict[str, float] = field(default_factory=dict)


EXITS = Ending(Faults(exit_at=POISON), f"the engine ended its process with code {EXIT_CODE}", EXIT_CODE)
HANGS = Ending(
    Faults(hang_at=POISON), "the engine took longer than 4 s", os.EX_SOFTWARE, settings={"scorer_chunk_seconds": 4}
)
RAISES = Ending(Faults(raise_at=POISON), "the engine raised RuntimeError: it does not like this row")


@pytest.mark.parametrize("ending", [EXITS, HANGS, RAISES], ids=["exits", "hangs", "raises"])
async def test_a_row_costs_itself_and_one_scorer_at_most(
    redis: Redis, jobs: Jobs, fleet: Fleet, ending: Ending
) -> None:
    scorers = [fleet.start(ending.faults, **ending.settings) for _ in range(2)]
    await ready(redis, 2)
    x = poisoned(jobs, 410, 119)
    async with Keeper(*scorers) as keeper:
        spec = await jobs.submit(x, 40)
        await reached(jobs, spec, "completed", within=120)
    await assert_only_these_failed(jobs, spec, x, 119)
    assert keeper.codes == ([] if ending.code is None else [ending.code])
    (letter,) = await letters(jobs, spec)
    assert (letter.row, letter.rows, letter.chunk, letter.reason) == (119, 1, 2, ending.reason)
    assert letter.deaths >= 3, "once with its chunk, and twice alone"
    assert json.loads(await redis.hget(jobs.queue.keys.dead_letter_bodies, letter.id) or "")["row"] == 119


@pytest.mark.delivery
async def test_a_job_full_of_poison_kills_no_more_scorers_than_it_has_chunks_in_work(
    redis: Redis, jobs: Jobs, fleet: Fleet
) -> None:
    """Once a row of it was found, its other chunks are not trusted either."""
    scorers = [fleet.start(Faults(exit_at=POISON)) for _ in range(2)]
    await ready(redis, 2)
    poison = range(3, 2_000, 50)
    x = poisoned(jobs, 2_000, *poison)
    async with Keeper(*scorers) as keeper:
        spec = await jobs.submit(x, 100)
        await reached(jobs, spec, "completed", within=120)
    await assert_only_these_failed(jobs, spec, x, *poison)
    assert 1 <= len(keeper.codes) <= MIN_WINDOW
    assert [letter.row for letter in await letters(jobs, spec)] == [*poison]


@pytest.mark.delivery
async def test_a_scorer_that_is_told_to_stop_drops_the_search_and_hands_the_chunk_back(
    redis: Redis, jobs: Jobs, fleet: Fleet
) -> None:
    settings = {"scorer_lease_seconds": 120, "scorer_drain_seconds": 0.5}
    x = poisoned(jobs, 100, 50)
    spec = await jobs.submit(x, 100)
    await redis.hset(jobs.queue.keys.job(spec.id), "suspect", "1")
    stopped = fleet.start(Faults(hang_at=POISON), **settings)
    await ready(redis)
    (isolated,) = await eventually(lambda: asyncio.sleep(0, children(stopped.pid)))
    copies = await eventually(lambda: asyncio.sleep(0, children(isolated)))
    stopped.signal(signal.SIGTERM)
    assert stopped.wait(30) == 0
    await eventually(lambda: asyncio.sleep(0, not any(map(alive, [isolated, *copies]))))
    fleet.start(**settings)  # whose engine takes the row
    await reached(jobs, spec, "completed")
    await jobs.assert_complete(spec, x)
