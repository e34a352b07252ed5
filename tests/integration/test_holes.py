"""The moments at which queue systems lose or repeat work, each hit exactly, with a real signal in a real process."""

import signal
from pathlib import Path

import pytest
from redis.asyncio import Redis

from shared.records import read_record
from tests.faulty import Faults
from tests.integration.test_scorer import reached, ready
from tests.scorers import Fleet, Jobs, Keeper, ScorerProcess
from tests.waiting import eventually

pytestmark = pytest.mark.delivery

ROWS, CHUNK_ROWS = 850, 100
LEASE = 4  # seconds: no scorer that lives, on a slow machine, loses one


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where a process says that it reached the point, before the signal hits it."""
    return tmp_path / "faults.log"


def faults(log: Path, point: str, sig: str) -> Faults:
    """One process, whichever comes first, sends itself the signal at that point."""
    return Faults(signals={point: sig}, once=str(log.with_suffix(".once")), log=str(log))


def taken_over(scorers: list[ScorerProcess]) -> int:
    return sum(scorer.lines("taking over from a silent scorer") for scorer in scorers)


UNHEARD = ("part_written", "manifest_written")
"""Done and not committed: it is done again, which shows that the moment was hit. What is committed is not."""


@pytest.mark.parametrize("point", ["part_written", "committed", "manifest_written", "finished"])
async def test_killed_at_this_very_moment_a_scorer_costs_nothing(
    redis: Redis, jobs: Jobs, fleet: Fleet, log: Path, point: str
) -> None:
    lease = 60 if point == "finished" else LEASE  # nothing is left to be taken over, and nothing shall be
    scorers = [fleet.start(faults(log, point, "SIGKILL"), scorer_lease_seconds=lease) for _ in range(2)]
    await ready(redis, 2)
    x = jobs.rows(ROWS)
    async with Keeper(*scorers) as keeper:
        spec = await jobs.submit(x, CHUNK_ROWS)
        await reached(jobs, spec, "completed")
        await eventually(lambda: died(keeper))
    assert keeper.codes == [-signal.SIGKILL]
    await jobs.assert_complete(spec, x)
    if point != "committed":  # by then the next chunk may be in work
        assert (taken_over(scorers) > 0) == (point in UNHEARD)
    record = await read_record(jobs.store, spec.id)
    assert record is not None
    assert (record.status.state, record.status.done, record.status.failed) == ("completed", ROWS, 0)
    assert await jobs.queue.backlog() == 0


async def died(keeper: Keeper) -> bool:
    return bool(keeper.codes)


async def test_the_old_owner_of_a_chunk_cannot_commit_after_it_was_taken_over(
    redis: Redis, jobs: Jobs, fleet: Fleet, log: Path
) -> None:
    """It stands still with its part written, past its lease, and goes on where it stopped."""
    scorers = [fleet.start(faults(log, "part_written", "SIGSTOP"), scorer_lease_seconds=LEASE) for _ in range(2)]
    await ready(redis, 2)
    x = jobs.rows(ROWS)
    spec = await jobs.submit(x, CHUNK_ROWS)
    await reached(jobs, spec, "completed")
    (stopped,) = (scorer for scorer in scorers if is_stopped(scorer))
    before = await jobs.results(spec)
    stopped.signal(signal.SIGCONT)

    async def noticed() -> bool:
        return stopped.lines("lost a lease: another scorer has the chunk") >= 1

    await eventually(noticed)
    assert stopped.running
    assert await jobs.results(spec) == before
    await jobs.assert_complete(spec, x)
    another = await jobs.submit(x, CHUNK_ROWS)
    await reached(jobs, another, "completed")
    await jobs.assert_complete(another, x)


def is_stopped(scorer: ScorerProcess) -> bool:
    return Path(f"/proc/{scorer.pid}/stat").read_text().rpartition(") ")[2].startswith("T")
