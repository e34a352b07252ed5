"""What the janitor puts right, on a real server and store."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter
from redis.asyncio import Redis

from services.scorer import snapshot
from services.scorer.fleet import Fleet
from services.scorer.janitor import Janitor
from services.scorer.mend import Mender
from services.scorer.metrics import Metrics
from services.scorer.restore import Restorer
from services.scorer.tidy import Tidier
from services.scorer.upkeep import Upkeep
from shared import scripts
from shared.broker import ensure_group
from shared.clock import utc_now
from shared.dead_letters import DeadLetters
from shared.jobs import DeadLetter, JobRecord, JobSpec, JobState, JobStatus, Part
from shared.keys import SCORERS_GROUP, Keys
from shared.lease import Lease
from shared.records import END, end_job, find_job, parts_of, read_record, submit_job
from shared.scripts import FINALISE, Held, JobQueue
from shared.store import Store
from shared.tasks import end
from shared.webhooks.messages import Webhook
from shared.webhooks.outcomes import write_outcome
from tests.builders import a_spec
from tests.waiting import eventually

pytestmark = pytest.mark.delivery

RETENTION = timedelta(days=30)


class Site:
    """A queue with a store, one scorer's moves, and a janitor to call."""

    def __init__(self, redis: Redis, queue: JobQueue, store: Store) -> None:
        self.redis, self.queue, self.store = redis, queue, store
        self.metrics = Metrics(CollectorRegistry())
        self.fleet = Fleet(redis, queue.keys, 1 << 20)
        self.upkeep = Upkeep(queue, redis)
        self.mender = Mender(queue, self.upkeep, store, fleet=self.fleet, metrics=self.metrics)
        self.restorer = Restorer(
            queue, self.upkeep, store, fleet=self.fleet, metrics=self.metrics, tenant=queue.keys.tenant
        )
        self.tidier = Tidier(self.upkeep, store, retention=RETENTION, metrics=self.metrics)

    def janitor(self, lease: Lease | None = None, mender: Mender | None = None) -> Janitor:
        return Janitor(
            lease or Lease(self.redis, self.queue.keys.lease("janitor"), timedelta(seconds=5)),
            self.upkeep,
            restorer=self.restorer,
            mender=mender or self.mender,
            tidier=self.tidier,
            metrics=self.metrics,
            every=0.05,
        )

    async def submit(self, **fields: Any) -> JobSpec:
        spec = a_spec(**fields)
        assert await submit_job(self.queue, self.store, spec, window=4) == "ok"
        return spec

    async def take(self) -> Held:
        chunks = self.queue.keys.chunks
        found: Any = await self.redis.xreadgroup(SCORERS_GROUP, "scorer", {chunks: ">"}, count=1)
        ((_, ((entry, fields),)),) = found
        held = Held.of("scorer", entry, fields)
        assert (await self.queue.begin(held)).answer == "ok"
        return held

    async def score(self) -> Held:
        """Take the next entry and commit it."""
        held = await self.take()
        part = Part(key=f"part-{held.chunk}", sha256="00", rows=100, failed=1)
        assert await self.queue.commit(held, part, window=4) == ("ok", 0)
        return held

    async def state(self, spec: JobSpec) -> JobState | None:
        status = await self.queue.status(spec.id)
        return status.state if status else None

    async def status(self, spec: JobSpec) -> JobStatus:
        status = await self.queue.status(spec.id)
        assert status is not None
        return status

    def mended(self) -> dict[str, float]:
        """Return how often each kind of repair was counted."""
        return _by_kind(self.metrics.mended)

    def removed(self) -> dict[str, float]:
        return _by_kind(self.metrics.removed)

    async def in_stream(self) -> list[tuple[str, int]]:
        found: Any = await self.redis.xrange(self.queue.keys.chunks)
        return sorted((fields["job"], int(fields["chunk"])) for _, fields in found)


def _by_kind(counter: Counter) -> dict[str, float]:
    (metric,) = counter.collect()
    return {sample.labels["kind"]: sample.value for sample in metric.samples if sample.name.endswith("_total")}


@pytest.fixture
async def site(redis: Redis, queue: JobQueue, store: Store) -> Site:
    await ensure_group(redis, queue.keys.chunks, SCORERS_GROUP)
    return Site(redis, queue, store)


async def flushed(site: Site) -> None:
    await site.redis.flushall()
    await ensure_group(site.redis, site.queue.keys.chunks, SCORERS_GROUP)


# --- after a flush


async def test_an_unfinished_job_starts_anew(site: Site) -> None:
    spec = await site.submit(rows=1000)
    await site.score()
    await flushed(site)
    await site.restorer.restore()
    status = await site.status(spec)
    assert (status.state, status.done, status.left) == ("queued", 0, 10)
    assert status.created_at == spec.created_at
    assert await site.queue.backlog() == 1000
    assert len(await site.in_stream()) == 4


async def test_a_cancelled_job_stays_cancelled_and_readable(site: Site) -> None:
    spec = await site.submit(rows=1000)
    await site.score()
    ended = await end_job(site.queue, site.store, spec.id, "cancelled")
    await flushed(site)
    await site.restorer.restore()
    status = await site.status(spec)
    assert status == ended
    assert [part.key for part in await parts_of(site.queue, site.store, status)] == ["part-0"]
    assert (await site.queue.backlog(), await site.in_stream(), await site.queue.open_jobs()) == (0, [], [])


async def test_of_a_job_that_ended_long_ago_the_id_comes_back_alone(site: Site, keys: Keys) -> None:
    """Else a flush would fill the memory with what the store answers for."""
    spec = await site.submit(rows=200)
    ended = await end_job(site.queue, site.store, spec.id, "cancelled")
    assert ended is not None
    old = ended.model_copy(update={"finished_at": utc_now() - timedelta(days=8)})
    record = JobRecord(status=old, model_digest="", parts=())
    await site.store.put(f"jobs/{spec.id}/{END}", record.model_dump_json().encode())
    await flushed(site)
    await site.restorer.restore()
    assert await site.state(spec) is None
    assert (await site.queue.ids(10), await site.redis.zrange(keys.ended_jobs, 0, -1)) == ([spec.id], [spec.id])
    assert await find_job(site.queue, site.store, spec.id) == old
    await site.restorer.restore()
    assert site.mended() == {"restored": 1}


async def test_dead_letters_come_back_with_their_job(site: Site, keys: Keys) -> None:
    spec = await site.submit(rows=200)
    held = await site.take()
    letter = DeadLetter(job_id=spec.id, row=7, chunk=0, reason="it killed two scorers", deaths=2)
    part = Part(key="part", sha256="00", rows=100, failed=1, dead_letters=(letter,))
    assert await site.queue.commit(held, part, window=4) == ("ok", 0)
    await end_job(site.queue, site.store, spec.id, "cancelled")
    await flushed(site)
    await site.restorer.restore()
    assert list((await DeadLetters(site.redis, keys).page(10)).letters) == [letter]


async def test_no_more_letters_come_back_than_are_kept(site: Site, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script with hundreds of thousands would hold Redis up for longer than anybody waits for its answer."""
    monkeypatch.setattr(scripts, "LETTERS_KEPT", 10)
    spec = a_spec(rows=100)
    status = JobStatus.submitted(spec).model_copy(update={"state": "completed"})
    dead = tuple(DeadLetter(job_id=spec.id, row=row, chunk=0, reason="it crashes", deaths=3) for row in range(12))
    assert await site.queue.restore(status, [Part(key="k", sha256="00", rows=100, failed=12, dead_letters=dead)])
    assert await site.redis.zcard(keys.dead_letters) == 10


async def test_the_end_of_a_job_that_nobody_heard_of_is_told(site: Site, keys: Keys) -> None:
    heard, unheard = [await site.submit(rows=1, webhook="https://example.org/") for _ in range(2)]
    for spec in (heard, unheard):
        await end_job(site.queue, site.store, spec.id, "cancelled")
    await write_outcome(site.store, heard.id, Webhook(url="https://example.org/", state="delivered"))
    await flushed(site)
    await site.restorer.restore()
    assert await site.redis.zrange(keys.webhooks_due, 0, -1) == [unheard.id]
    message: Any = await site.redis.hgetall(keys.webhook(unheard.id))
    assert (message["url"], message["state"]) == ("https://example.org/", "due")
    assert '"type":"job.cancelled"' in message["body"]


async def test_every_job_comes_back_in_its_order(site: Site) -> None:
    specs = [await site.submit(rows=1) for _ in range(20)]
    await flushed(site)
    await site.restorer.restore()
    assert await site.queue.ids(100) == [spec.id for spec in reversed(specs)]
    assert await site.upkeep.is_restored()


async def test_a_flush_while_restoring_is_noticed(site: Site) -> None:
    await site.upkeep.begin_restoring("token")
    await flushed(site)
    assert not await site.upkeep.end_restoring("token")
    assert not await site.upkeep.is_restored()


async def test_a_job_that_redis_knows_is_left_alone(site: Site) -> None:
    spec = await site.submit(rows=1000)
    await site.score()
    before = await site.status(spec)
    await site.restorer.restore()
    assert await site.status(spec) == before


async def test_jobs_of_other_tenants_and_half_written_ones_are_left_alone(site: Site, store: Store) -> None:
    spec = await site.submit(rows=100, tenant="somebody")
    await site.store.put(f"jobs/{a_spec().id}/input", b"being written")
    await site.store.put("jobs/notes/job.json", b"no job of ours")
    await site.store.put(f"jobs/{a_spec().id}/job.json", b"damaged")
    await flushed(site)
    await site.restorer.restore()
    assert await site.state(spec) is None
    assert await site.upkeep.is_restored()


# --- stalled


async def test_chunks_that_vanished_are_fed_again(site: Site) -> None:
    spec = await site.submit(rows=1000)
    await site.score()
    held = await site.take()
    await site.redis.xtrim(site.queue.keys.chunks, maxlen=0)
    await site.mender.mend()
    assert await site.in_stream() == [(spec.id, chunk) for chunk in (1, 2, 3, 4)]
    assert held.chunk == 1


async def test_entries_whose_consumer_was_deleted_are_delivered_again(site: Site) -> None:
    spec = await site.submit(rows=200)
    held = await site.take()
    await site.redis.xgroup_delconsumer(site.queue.keys.chunks, SCORERS_GROUP, "scorer")
    await site.mender.mend()
    assert sorted([(await site.take()).chunk, (await site.take()).chunk]) == [0, 1]
    assert await site.state(spec) == "running"
    assert held.chunk == 0


async def test_a_lost_finalisation_is_asked_for_again(site: Site) -> None:
    spec = await site.submit(rows=100)
    await site.score()
    await site.redis.xtrim(site.queue.keys.chunks, maxlen=0)
    await site.mender.mend()
    assert await site.in_stream() == [(spec.id, FINALISE)]


async def test_a_job_whose_last_part_was_not_counted_is_finalised(site: Site, keys: Keys) -> None:
    spec = await site.submit(rows=100)
    part = Part(key="part", sha256="00", rows=100, failed=0)
    await site.redis.hset(keys.parts(spec.id), "0", part.model_dump_json())
    await site.mender.mend()
    assert await site.state(spec) == "finalizing"


async def test_a_part_that_vanished_is_scored_again(site: Site, keys: Keys) -> None:
    spec = await site.submit(rows=300)
    for _ in range(3):
        await site.score()
    assert await site.state(spec) == "finalizing"
    await site.redis.hdel(keys.parts(spec.id), "1")
    await site.mender.mend()
    status = await site.status(spec)
    assert (status.state, status.left, status.done, status.failed) == ("running", 1, 200, 2)
    assert (spec.id, 1) in await site.in_stream()
    assert await site.queue.backlog() == 100


async def test_jobs_get_their_share_when_scorers_join(site: Site) -> None:
    spec = await site.submit(rows=1000)
    site.fleet.window = 8
    await site.mender.mend()
    assert await site.in_stream() == [(spec.id, chunk) for chunk in range(8)]


async def test_a_cancel_that_was_cut_off_is_recorded(site: Site) -> None:
    spec = await site.submit(rows=1000)
    await site.score()
    await site.queue.end(await site.status(spec), "cancelled")  # and then whoever asked died
    await site.mender.mend()
    record = await read_record(site.store, spec.id)
    assert record is not None
    assert (record.status.state, record.status.done, len(record.parts)) == ("cancelled", 100, 1)
    assert await site.queue.open_jobs() == []


async def test_a_job_ended_with_a_gap_keeps_the_parts_before_it(site: Site) -> None:
    spec = await site.submit(rows=1000)
    first, _second = await site.take(), await site.take()
    await site.score()
    await site.queue.commit(first, Part(key="part-0", sha256="00", rows=100, failed=1), window=4)
    status = await end_job(site.queue, site.store, spec.id, "cancelled")
    assert status is not None
    assert (status.done, status.failed) == (100, 1)
    assert len(await parts_of(site.queue, site.store, status)) == 1


async def test_a_job_that_cannot_be_mended_does_not_keep_others_from_it(site: Site) -> None:
    hopeless = await site.submit(rows=100)
    await site.queue.end(await site.status(hopeless), "cancelled")
    await site.store.put(f"jobs/{hopeless.id}/{END}/in-the-way", b"")  # its end cannot be written
    waiting = await site.submit(rows=100)
    await site.redis.xtrim(site.queue.keys.chunks, maxlen=0)
    await site.mender.mend()
    assert await site.in_stream() == [(waiting.id, 0)]
    assert await site.queue.open_jobs() == [hopeless.id, waiting.id]


async def test_ending_twice_changes_nothing(site: Site) -> None:
    spec = await site.submit(rows=1000)
    first = await end_job(site.queue, site.store, spec.id, "cancelled")
    record = await site.store.get(f"jobs/{spec.id}/{END}")
    assert await end_job(site.queue, site.store, spec.id, "failed", "too late") == first
    assert await site.store.get(f"jobs/{spec.id}/{END}") == record


async def test_a_healthy_queue_is_left_as_it_is(site: Site) -> None:
    await site.submit(rows=1000)
    await site.take()
    await site.score()
    before = await site.in_stream()
    await site.mender.mend()
    assert await site.in_stream() == before


async def test_a_queue_of_many_pages_is_looked_at_whole(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "JOBS", 3)
    monkeypatch.setattr(snapshot, "ENTRIES", 4)
    specs = [await site.submit(rows=300) for _ in range(7)]
    held = [await site.take() for _ in range(6)]
    seen = await site.upkeep.snapshot()
    assert [status.id for status in seen.jobs] == [spec.id for spec in specs]
    assert sorted(seen.entries.values()) == await site.in_stream()
    assert seen.stranded == []
    await site.redis.xgroup_delconsumer(site.queue.keys.chunks, SCORERS_GROUP, "scorer")
    assert (await site.upkeep.snapshot()).stranded == [taken.entry for taken in held]


async def test_a_busy_queue_is_never_mistaken_for_a_broken_one(site: Site) -> None:
    """The pages of the look are of different moments."""
    specs = [await site.submit(rows=1000) for _ in range(10)]

    async def work() -> None:
        for _ in range(100):
            await site.score()

    working = asyncio.create_task(work())
    while not working.done():
        await site.mender.mend()
    await working
    assert {await site.state(spec) for spec in specs} == {"finalizing"}
    assert await site.in_stream() == sorted((spec.id, FINALISE) for spec in specs)
    assert site.mended() == {}


# --- deadlines


async def test_a_job_past_its_deadline_expires_though_nobody_works_on_it(site: Site) -> None:
    late = await site.submit(rows=1000, deadline=utc_now())
    in_time = await site.submit(rows=1000, deadline=utc_now() + timedelta(hours=1))
    await site.score()
    await site.mender.mend()
    status = await site.status(late)
    assert (status.state, status.done, await site.state(in_time)) == ("expired", 100, "queued")
    assert status.error is not None
    assert "deadline" in status.error
    assert len(await parts_of(site.queue, site.store, status)) == 1, "what is done stays readable"
    assert (await site.queue.backlog(), await site.queue.open_jobs()) == (1000, [in_time.id])


async def test_a_job_that_only_has_to_be_put_together_completes_after_its_deadline(site: Site) -> None:
    spec = await site.submit(rows=100, deadline=utc_now())
    await site.score()
    await site.mender.mend()
    assert await site.state(spec) == "finalizing"
    ended = await end_job(site.queue, site.store, spec.id, "expired")
    assert ended is not None
    assert ended.state == "finalizing"


# --- who, and dead consumers


async def test_only_one_janitor_works_and_another_follows(site: Site) -> None:
    first, second = (asyncio.create_task(site.janitor().run()) for _ in range(2))
    holder = site.queue.keys.lease("janitor")
    token = await eventually(lambda: site.redis.get(holder))
    for _ in range(20):
        await asyncio.sleep(0.02)
        assert await site.redis.get(holder) == token
    for task in (first, second):
        task.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert await site.redis.get(holder) is None, "given up, so that another may follow at once"


class Slow(Mender):
    """Takes longer than the lease."""

    async def mend(self) -> None:
        await asyncio.Event().wait()


async def test_the_lease_is_renewed_during_a_long_look(site: Site) -> None:
    slow = Slow(site.queue, site.upkeep, site.store, fleet=site.fleet, metrics=site.metrics)
    lease = Lease(site.redis, site.queue.keys.lease("janitor"), timedelta(seconds=3))
    task = asyncio.create_task(site.janitor(lease, slow).run())
    left = [await eventually(lambda: time_left(site, lease))]

    async def renewed() -> bool:
        left.append(await time_left(site, lease))
        return left[-1] > left[-2] + 50

    await eventually(renewed)
    await end([task])


class Broken(Restorer):
    async def restore(self) -> None:
        raise RuntimeError("a bug of ours")


async def test_a_step_that_fails_keeps_no_other_from_its_turn(site: Site) -> None:
    site.restorer = Broken(
        site.queue, site.upkeep, site.store, fleet=site.fleet, metrics=site.metrics, tenant=site.queue.keys.tenant
    )
    spec = await site.submit(rows=100)
    await site.redis.xtrim(site.queue.keys.chunks, maxlen=0)
    task = asyncio.create_task(site.janitor().run())

    async def mended() -> bool:
        return await site.in_stream() == [(spec.id, 0)]

    await eventually(mended)
    await end([task])


async def time_left(site: Site, lease: Lease) -> int:
    return max(int(await site.redis.pttl(lease.key)), 0)


class Swallowing(Lease):
    """redis-py now and then swallows a cancellation."""

    def __init__(self, site: Site) -> None:
        super().__init__(site.redis, site.queue.keys.lease("janitor"), timedelta(seconds=5))
        self.asked = asyncio.Event()

    async def acquire(self) -> bool:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return False
        return True


async def test_it_stops_although_its_cancellation_was_swallowed(site: Site) -> None:
    lease = Swallowing(site)
    task = asyncio.create_task(site.janitor(lease).run())
    await lease.asked.wait()
    task.cancel()
    await eventually(lambda: asyncio.sleep(0, task.done()), within=5)


async def test_silent_consumers_go_unless_they_hold_something(site: Site, keys: Keys, tmp_path: Path) -> None:
    await site.submit(rows=1000)
    await site.take()
    await site.redis.xgroup_createconsumer(keys.chunks, SCORERS_GROUP, "idle")
    await asyncio.sleep(0.01)
    assert await site.upkeep.retire_silent(idle_ms=1) == 1
    consumers: Any = await site.redis.xinfo_consumers(keys.chunks, SCORERS_GROUP)
    assert [consumer["name"] for consumer in consumers] == ["scorer"]
