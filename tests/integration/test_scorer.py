"""Scorer processes, and what happens to a job when they or Redis fail."""

import asyncio
import signal
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from shared.broker import ensure_group
from shared.jobs import JobSpec, JobStatus, Part
from shared.keys import SCORERS_GROUP
from shared.records import END, end_job, read_record, submit_job
from shared.scripts import JobQueue
from tests.processes import resident_megabytes
from tests.redis_server import RedisServer
from tests.scorers import Fleet, Jobs, ScorerProcess, ready_scorers
from tests.waiting import eventually

SLOW = 500  # rows/s: a chunk of 100 rows takes 0.2 s, so that faults land inside a job


async def ready(redis: Redis, count: int = 1) -> None:
    async def enough() -> bool:
        return len(await ready_scorers(redis)) >= count

    await eventually(enough)


async def reached(jobs: Jobs, spec: JobSpec, state: str, within: float = 60) -> None:
    async def there() -> bool:
        status = await jobs.status(spec)
        assert status.state == state, f"{status.state}: {status.done} of {status.rows} rows, {status.error}"
        return True

    await eventually(there, within=within)


async def status_after_outage(jobs: Jobs, spec: JobSpec) -> JobStatus:
    """Connections of our own pool are broken too, and fail once each."""

    async def answered() -> JobStatus:
        return await jobs.status(spec)

    return await eventually(answered)


async def some_done(jobs: Jobs, spec: JobSpec, rows: int = 1) -> None:
    async def done() -> bool:
        return (await jobs.status(spec)).done >= rows

    await eventually(done)


async def is_working(redis: Redis, jobs: Jobs, scorer: ScorerProcess) -> None:
    """Wait until this scorer holds a chunk."""

    async def holds() -> bool:
        replicas = {replica.pid: replica.id for replica in await ready_scorers(redis)}
        consumers = await redis.xinfo_consumers(jobs.queue.keys.chunks, "scorers")
        return any(c["name"].startswith(replicas[scorer.pid]) and c["pending"] for c in consumers)

    await eventually(holds)


@pytest.mark.delivery
async def test_a_job_is_scored_in_order_by_two_scorers(redis: Redis, jobs: Jobs, fleet: Fleet) -> None:
    first, second = fleet.start(), fleet.start()
    await ready(redis, 2)
    x = jobs.rows(3_050)
    spec = await jobs.submit(x, 100)
    await reached(jobs, spec, "completed")
    await jobs.assert_complete(spec, x)
    record = await read_record(jobs.store, spec.id)
    assert record is not None
    assert (record.status.state, record.status.done, len(record.parts)) == ("completed", 3_050, 31)
    assert await jobs.queue.backlog() == 0
    for scorer in (first, second):
        scorer.signal(signal.SIGTERM)
    assert [scorer.wait(15) for scorer in (first, second)] == [0, 0]
    assert await redis.xinfo_consumers(jobs.queue.keys.chunks, "scorers") == [], "they left nothing behind"


async def test_a_row_in_error_keeps_its_place(redis: Redis, jobs: Jobs, fleet: Fleet) -> None:
    fleet.start()
    x = jobs.rows(250)
    spec = await jobs.submit(x, 100, bad={0: "size", 120: "size", 249: "colour"})
    await reached(jobs, spec, "completed")
    records = await jobs.results(spec)
    bad = {r["index"]: (r["error_field"], r["error_code"]) for r in records if r["prediction"] is None}
    assert bad == {0: ("size", "missing"), 120: ("size", "missing"), 249: ("colour", "missing")}
    expected = jobs.model.predict(x).tolist()
    assert all(r["prediction"] in (None, expected[r["index"]]) for r in records)
    assert (await jobs.status(spec)).failed == 3


async def test_a_killed_scorers_chunk_is_taken_over(redis: Redis, jobs: Jobs, fleet: Fleet) -> None:
    victim, survivor = (fleet.start(scorer_max_rows_per_second=SLOW) for _ in range(2))
    await ready(redis, 2)
    x = jobs.rows(3_000)
    spec = await jobs.submit(x, 100)
    await some_done(jobs, spec)
    await is_working(redis, jobs, victim)
    victim.kill()
    assert not (await jobs.status(spec)).ended, "the fault has to land inside the job"
    await reached(jobs, spec, "completed")
    await jobs.assert_complete(spec, x)
    assert survivor.lines("taking over from a silent scorer") >= 1


@pytest.mark.delivery
async def test_a_scorer_busy_with_what_it_took_over_keeps_nothing_from_others(
    redis: Redis, jobs: Jobs, fleet: Fleet
) -> None:
    chunks = jobs.queue.keys.chunks
    await ensure_group(redis, chunks, SCORERS_GROUP)
    endless = await jobs.submit(jobs.rows(1_000), 1_000)
    await redis.xreadgroup(SCORERS_GROUP, "silent", {chunks: ">"})
    busy = fleet.start(scorer_max_rows_per_second=1)
    await eventually(lambda: asyncio.sleep(0, busy.lines("taking over from a silent scorer")))
    x = jobs.rows(100)
    small = await jobs.submit(x, 100)

    async def was_read() -> bool:
        (group,) = await redis.xinfo_groups(chunks)
        return bool(group["entries-read"] > 1)

    await eventually(was_read)
    fleet.start()
    await reached(jobs, small, "completed")
    await jobs.assert_complete(small, x)
    assert (await jobs.status(endless)).state == "running"


async def test_a_scorer_paused_past_its_lease_cannot_commit(redis: Redis, jobs: Jobs, fleet: Fleet) -> None:
    paused, other = (fleet.start(scorer_max_rows_per_second=SLOW) for _ in range(2))
    await ready(redis, 2)
    x = jobs.rows(3_000)
    spec = await jobs.submit(x, 100)
    await is_working(redis, jobs, paused)
    paused.signal(signal.SIGSTOP)

    async def taken_over() -> bool:
        return other.lines("taking over from a silent scorer") >= 1

    await eventually(taken_over)
    paused.signal(signal.SIGCONT)

    async def noticed() -> bool:
        return paused.lines("lost a lease: another scorer has the chunk") >= 1

    await eventually(noticed)
    await reached(jobs, spec, "completed")
    await jobs.assert_complete(spec, x)


@pytest.mark.delivery
async def test_a_job_survives_a_crash_of_redis(
    redis: Redis, jobs: Jobs, fleet: Fleet, redis_server: RedisServer
) -> None:
    scorer = fleet.start(scorer_max_rows_per_second=SLOW)
    await ready(redis)
    x = jobs.rows(2_000)
    spec = await jobs.submit(x, 100)
    await some_done(jobs, spec)
    redis_server.kill()
    redis_server.start()
    assert not (await status_after_outage(jobs, spec)).ended, "the fault has to land inside the job"
    await reached(jobs, spec, "completed")
    await jobs.assert_complete(spec, x)
    assert scorer.running


async def test_nobody_takes_over_right_after_an_outage(
    redis: Redis, jobs: Jobs, fleet: Fleet, redis_server: RedisServer
) -> None:
    """An outage longer than the lease ages every lease; the holders live, and keep their chunks."""
    lease = {"scorer_lease_seconds": 8}
    holders = [fleet.start(scorer_max_rows_per_second=5, **lease) for _ in range(2)]  # a chunk outlasts a slow start
    await ready(redis, 2)
    x = jobs.rows(200)
    spec = await jobs.submit(x, 100)
    for holder in holders:
        await is_working(redis, jobs, holder)
    idle = fleet.start(**lease)  # it has time to take over
    await ready(redis, 3)
    for holder in holders:
        holder.signal(signal.SIGSTOP)  # they are late to come back
    redis_server.kill()

    async def noticed() -> bool:
        return idle.lines("redis is away") > 0

    await eventually(noticed)
    redis_server.start()
    await age_leases(redis, jobs.queue)

    async def had_the_chance() -> bool:
        """It sends a PING twice a second, and would look for silent holders every second."""
        return (await calls(redis, "ping")) > 5

    await eventually(had_the_chance)
    assert await calls(redis, "xautoclaim") == 0
    for holder in holders:
        holder.signal(signal.SIGCONT)
    await reached(jobs, spec, "completed")
    await jobs.assert_complete(spec, x)
    assert [scorer.lines("taking over from a silent scorer") for scorer in (idle, *holders)] == [0, 0, 0]


async def calls(redis: Redis, command: str) -> int:
    """Return how often the server was sent a command since its start."""
    stats: Any = await redis.info("commandstats")
    return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


async def age_leases(redis: Redis, queue: JobQueue) -> None:
    """Make all of them a minute old, without counting a delivery."""

    async def pending() -> list[Any]:
        return list(await redis.xpending_range(queue.keys.chunks, "scorers", "-", "+", 10))

    for held in await eventually(pending):
        name, entry = held["consumer"], held["message_id"]
        await redis.xclaim(queue.keys.chunks, "scorers", name, 0, [entry], idle=60_000, justid=True)


@pytest.mark.delivery
async def test_jobs_survive_the_loss_of_redis(
    redis: Redis, jobs: Jobs, fleet: Fleet, redis_server: RedisServer
) -> None:
    fleet.start(scorer_max_rows_per_second=SLOW)
    await ready(redis)
    done = await jobs.submit(jobs.rows(100), 100)
    await reached(jobs, done, "completed")
    cancelled = await jobs.submit(jobs.rows(1_000), 100)
    await some_done(jobs, cancelled)
    await end_job(jobs.queue, jobs.store, cancelled.id, "cancelled")
    x = jobs.rows(1_000, seed=1)
    running, waiting = await jobs.submit(x, 100), await jobs.submit(x, 100)
    await some_done(jobs, running)
    redis_server.flush()

    async def back() -> bool:
        return await jobs.queue.status(waiting.id) is not None

    await eventually(back)
    for spec in (running, waiting):
        await reached(jobs, spec, "completed")
        await jobs.assert_complete(spec, x)
    assert (await jobs.status(done)).state == "completed"
    assert (await jobs.status(cancelled)).state == "cancelled"
    assert await jobs.queue.backlog() == 0


async def test_sigterm_finishes_the_chunk_in_work(redis: Redis, jobs: Jobs, fleet: Fleet) -> None:
    drained = fleet.start(scorer_max_rows_per_second=100, scorer_lease_seconds=120)
    await ready(redis)
    spec = await jobs.submit(jobs.rows(400), 100)
    await is_working(redis, jobs, drained)
    before = (await jobs.status(spec)).done
    drained.signal(signal.SIGTERM)
    assert drained.wait(20) == 0
    assert (await jobs.status(spec)).done > before
    pending = await redis.xpending(jobs.queue.keys.chunks, "scorers")
    assert pending["pending"] == 0, "the next scorer would wait for a lease of two minutes"
    fleet.start(scorer_lease_seconds=120)
    await reached(jobs, spec, "completed")


async def test_a_chunk_that_takes_too_long_is_handed_back(redis: Redis, jobs: Jobs, fleet: Fleet) -> None:
    drained = fleet.start(scorer_max_rows_per_second=1, scorer_lease_seconds=120, scorer_drain_seconds=0.5)
    await ready(redis)
    spec = await jobs.submit(jobs.rows(100), 100)
    await is_working(redis, jobs, drained)
    drained.signal(signal.SIGTERM)
    assert drained.wait(20) == 0
    fleet.start(scorer_lease_seconds=120)
    await reached(jobs, spec, "completed")


@pytest.mark.delivery
async def test_a_cancelled_job_keeps_what_is_done_up_to_the_first_gap(redis: Redis, jobs: Jobs, fleet: Fleet) -> None:
    fleet.start(scorer_max_rows_per_second=SLOW)
    await ready(redis)
    x = jobs.rows(2_000)
    spec = await jobs.submit(x, 100)
    await some_done(jobs, spec)
    status = await end_job(jobs.queue, jobs.store, spec.id, "cancelled")
    assert status is not None
    assert 0 < status.done < 2_000

    async def stream_is_empty() -> bool:
        return await redis.xlen(jobs.queue.keys.chunks) == 0

    await eventually(stream_is_empty)
    records = await jobs.results(spec)
    assert [record["index"] for record in records] == list(range(status.done))
    assert (await jobs.status(spec)).done == status.done


@pytest.mark.parametrize(("missing", "reason"), [("input", "the job's input"), ("model", "the model")])
async def test_a_job_whose_input_or_model_is_gone_fails_with_the_reason(
    redis: Redis, jobs: Jobs, fleet: Fleet, missing: str, reason: str
) -> None:
    fleet.start()
    await ready(redis)
    version = "404" if missing == "model" else "1"
    spec = await jobs.spec(jobs.rows(300), 100, model_version=version)
    if missing == "input":
        await jobs.store.delete(spec.input_key)
    await submit_job(jobs.queue, jobs.store, spec, window=4)
    await reached(jobs, spec, "failed")
    status = await jobs.status(spec)
    assert status.error is not None
    assert status.error.startswith(reason)

    async def recorded() -> bool:
        record = await read_record(jobs.store, spec.id)
        return record is not None and record.status.state == "failed"

    await eventually(recorded)


async def test_a_job_whose_end_cannot_be_recorded_does_not_hold_its_scorer(
    redis: Redis, jobs: Jobs, fleet: Fleet
) -> None:
    fleet.start()
    await ready(redis)
    x = jobs.rows(100)
    hopeless = await jobs.spec(x, 100)
    await jobs.store.delete(hopeless.input_key)
    await jobs.store.put(f"jobs/{hopeless.id}/{END}/in-the-way", b"")
    await submit_job(jobs.queue, jobs.store, hopeless, window=4)
    spec = await jobs.submit(x, 100)
    await reached(jobs, spec, "completed")
    await reached(jobs, hopeless, "failed")


async def test_a_job_that_cannot_be_finalised_fails(redis: Redis, jobs: Jobs, fleet: Fleet) -> None:
    spec = await jobs.submit(jobs.rows(100), 100)
    short = Part(key="part", sha256="00", rows=99, failed=0)
    await redis.hset(jobs.queue.keys.parts(spec.id), "0", short.model_dump_json())
    fleet.start(scorer_lease_seconds=0.5, scorer_max_deliveries=2)
    await reached(jobs, spec, "failed")
    assert "2 attempts" in str((await jobs.status(spec)).error)


async def test_a_chunk_that_always_kills_its_scorer_ends_as_errors(redis: Redis, jobs: Jobs, fleet: Fleet) -> None:
    settings = {"scorer_max_rows_per_second": 10, "scorer_max_deliveries": 2, "scorer_lease_seconds": 1}
    x = jobs.rows(100)
    spec = await jobs.submit(x, 100)
    for _ in range(2):
        victim = fleet.start(**settings)
        await ready(redis)
        await is_working(redis, jobs, victim)
        victim.kill()
        await redis.delete(jobs.queue.keys.replicas)
    fleet.start(**settings)
    await reached(jobs, spec, "completed")
    assert {record["error_code"] for record in await jobs.results(spec)} == {"poison"}
    status = await jobs.status(spec)
    assert (status.done, status.failed) == (100, 100)
    (letter,) = (await jobs.queue.parts(spec.id))[0].dead_letters
    assert (letter.job_id, letter.row, letter.rows, letter.deaths) == (spec.id, 0, 100, 2)


@pytest.mark.delivery
async def test_a_reader_that_fails_in_a_loop_is_slowed_down_and_healed(redis: Redis, jobs: Jobs, fleet: Fleet) -> None:
    """FastStream would try again at once, for ever: some 700 times a second."""
    scorer = fleet.start()
    await ready(redis)
    await redis.replicaof("127.0.0.1", "1")  # a failover: every write is refused, reading entries is one
    try:
        noticed = "the reader fails in a loop: starting it again"
        await eventually(lambda: asyncio.sleep(0, scorer.lines(noticed)))
        await redis.config_resetstat()
        await asyncio.sleep(1)  # time in which a loop would show
        refused: Any = (await redis.info("commandstats")).get("cmdstat_xreadgroup", {"rejected_calls": 0})
    finally:
        await redis.replicaof("NO", "ONE")
    x = jobs.rows(300)
    spec = await jobs.submit(x, 100)
    await reached(jobs, spec, "completed")
    assert refused["rejected_calls"] < 50


@pytest.mark.delivery
async def test_a_scorer_waits_for_redis_and_shows_how_it_is(
    redis: Redis, jobs: Jobs, fleet: Fleet, redis_server: RedisServer
) -> None:
    redis_server.kill()
    scorer = fleet.start()

    async def waits() -> bool:
        return "Started server process" in scorer.log.read_text()

    await eventually(waits)
    redis_server.start()
    await ready(redis)
    (replica,) = await ready_scorers(redis)
    async with httpx.AsyncClient(base_url=replica.address) as client:
        answers = [await client.get(path) for path in ("/health/live", "/health/ready", "/metrics")]
        assert [answer.status_code for answer in answers] == [200, 200, 200]
        for line in ("tasador_scorer_in_flight 0.0", "tasador_scorer_ready 1.0", "tasador_scorer_redis_up 1.0"):
            assert f"\n{line}\n" in answers[2].text
        assert (await client.get("/health")).json()["status"] == "healthy"
        assert resident_megabytes(scorer.pid) < 190
        redis_server.kill()

        async def not_ready() -> bool:
            return (await client.get("/health/ready")).status_code == 503

        await eventually(not_ready)
        assert (await client.get("/health/live")).status_code == 200
        assert "\ntasador_scorer_ready 0.0\n" in (await client.get("/metrics")).text
        degraded = await client.get("/health")
        assert (degraded.status_code, degraded.json()["status"]) == (200, "degraded")
