"""What each script answers and changes, on a real server."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from services.scorer.upkeep import Upkeep
from shared.broker import ensure_group
from shared.events import ChunkScored, JobFinished
from shared.jobs import DeadLetter, JobSpec, Part
from shared.keys import SCORERS_GROUP, Keys
from shared.scripts import FINALISE, Begun, Held, JobQueue
from tests.builders import a_spec

pytestmark = pytest.mark.delivery

MEGABYTE = 1 << 20


def a_part(rows: int = 100, failed: int = 0, key: str = "part", dead: Sequence[DeadLetter] = ()) -> Part:
    return Part(key=key, sha256="00", rows=rows, failed=failed, dead_letters=tuple(dead))


def an_event(held: Held, rows: int = 100) -> ChunkScored:
    of_model = {"model_name": "model", "model_version": "1"}
    return ChunkScored.model_validate(
        {"job_id": held.job, "chunk": held.chunk, "rows": rows, "failed": 0, "seconds": 0.1, "counts": {}} | of_model
    )


async def entries(redis: Redis, stream: str) -> list[dict[str, str]]:
    """Return the fields of all entries."""
    found: Any = await redis.xrange(stream)
    return [fields for _, fields in found]


class Scorer:
    """The moves of a scorer, one by one."""

    def __init__(self, redis: Redis, queue: JobQueue, name: str = "a") -> None:
        self.redis, self.queue, self.name = redis, queue, name

    async def take(self) -> Held | None:
        """Read the next new entry."""
        chunks = self.queue.keys.chunks
        found: Any = await self.redis.xreadgroup(SCORERS_GROUP, self.name, {chunks: ">"}, count=1)
        return self._held(found[0][1][0]) if found else None

    async def reclaim(self) -> Held | None:
        """Take over an entry from whoever holds it."""
        found: Any = await self.redis.xautoclaim(self.queue.keys.chunks, SCORERS_GROUP, self.name, 0, count=1)
        return self._held(found[1][0]) if found[1] else None

    async def commit(self, held: Held, part: Part | None = None, window: int = 4) -> str:
        answer, _ = await self.queue.commit(held, part or a_part(), window=window)
        return answer

    async def take_all(self) -> list[Held]:
        taken = []
        while held := await self.take():
            taken.append(held)
        return taken

    def _held(self, entry: tuple[str, dict[str, str]]) -> Held:
        return Held(self.name, entry[0], entry[1]["job"], int(entry[1]["chunk"]))


@pytest.fixture
async def scorer(redis: Redis, queue: JobQueue, keys: Keys) -> Scorer:
    await ensure_group(redis, keys.chunks, SCORERS_GROUP)
    return Scorer(redis, queue)


@pytest.fixture
def other(redis: Redis, queue: JobQueue) -> Scorer:
    return Scorer(redis, queue, "b")


async def submitted(queue: JobQueue, window: int = 4, **fields: Any) -> JobSpec:
    spec = a_spec(**fields)
    assert await queue.submit(spec, window) == "ok"
    return spec


async def taken(scorer: Scorer) -> Held:
    held = await scorer.take()
    assert held is not None
    assert (await scorer.queue.begin(held)).answer == "ok"
    return held


# --- submit


async def test_a_submitted_job_is_known_and_puts_a_window_into_the_stream(
    redis: Redis, queue: JobQueue, keys: Keys
) -> None:
    spec = await submitted(queue, rows=950, window=3)
    status = await queue.status(spec.id)
    assert status is not None
    assert (status.state, status.rows, status.chunks, status.left, status.next) == ("queued", 950, 10, 10, 3)
    assert status.created_at == spec.created_at
    assert await redis.xlen(keys.chunks) == 3
    assert await queue.backlog() == 950
    assert await queue.open_jobs() == [spec.id]


async def test_the_same_id_is_a_duplicate_and_changes_nothing(redis: Redis, queue: JobQueue, keys: Keys) -> None:
    spec = await submitted(queue, rows=1000)
    assert await queue.submit(spec, 4) == "duplicate"
    assert (await redis.xlen(keys.chunks), await queue.backlog()) == (4, 1000)


async def test_a_full_backlog_refuses_and_writes_nothing(queue: JobQueue) -> None:
    await submitted(queue, rows=1000)
    refused = a_spec(rows=1)
    assert await queue.submit(refused, 4, backlog_limit_rows=1000) == "busy"
    assert await queue.status(refused.id) is None
    assert await queue.backlog() == 1000


async def test_so_many_open_jobs_refuse_another_and_write_nothing(queue: JobQueue) -> None:
    await submitted(queue, rows=1000)
    refused = a_spec(rows=1)
    assert await queue.submit(refused, 4, open_limit=1) == "crowded"
    assert await queue.status(refused.id) is None
    assert (await queue.open_count(), await queue.backlog()) == (1, 1000)


async def test_a_job_without_chunks_goes_straight_to_finalising(scorer: Scorer, queue: JobQueue) -> None:
    spec = await submitted(queue, rows=0)
    held = await taken(scorer)
    assert (held.job, held.chunk) == (spec.id, FINALISE)
    status = await queue.status(spec.id)
    assert status is not None
    assert await queue.finish(held, status) == "ok"


async def test_jobs_are_listed_newest_first_page_by_page(queue: JobQueue) -> None:
    specs = [await submitted(queue, rows=1) for _ in range(5)]
    newest_first = [spec.id for spec in reversed(specs)]
    page = await queue.ids(2)
    rest = await queue.ids(10, before=page[-1])
    assert [*page, *rest] == newest_first


# --- begin


async def test_the_first_begin_starts_the_job(scorer: Scorer, queue: JobQueue) -> None:
    spec = await submitted(queue)
    await taken(scorer)
    status = await queue.status(spec.id)
    assert status is not None
    assert status.state == "running"
    assert status.started_at is not None


async def test_begin_counts_deliveries(scorer: Scorer, other: Scorer, queue: JobQueue) -> None:
    await submitted(queue)
    await taken(scorer)
    again = await other.reclaim()
    assert again is not None
    assert (await queue.begin(again)).deliveries == 2


async def test_begin_of_somebody_elses_entry_is_lost(scorer: Scorer, other: Scorer, queue: JobQueue) -> None:
    await submitted(queue)
    held = await taken(scorer)
    await other.reclaim()
    assert (await queue.begin(held)).answer == "lost"


async def test_work_of_an_ended_job_is_dropped(redis: Redis, scorer: Scorer, queue: JobQueue, keys: Keys) -> None:
    spec = await submitted(queue, rows=100)
    held = await scorer.take()
    assert held is not None
    await cancel(queue, spec)
    assert (await queue.begin(held)).answer == "gone"
    assert await redis.xlen(keys.chunks) == 0


async def test_a_chunk_that_has_its_part_is_not_scored_again(
    redis: Redis, scorer: Scorer, queue: JobQueue, keys: Keys
) -> None:
    spec = await submitted(queue, rows=200, window=1)
    await scorer.commit(await taken(scorer))
    await redis.xadd(keys.chunks, {"job": spec.id, "chunk": 0, "tries": 0})
    taken_entries = await scorer.take_all()
    answers = [(held.chunk, (await queue.begin(held)).answer) for held in taken_entries]
    assert answers == [(1, "ok"), (0, "duplicate")]


# --- commit


async def test_a_commit_records_the_part_and_frees_its_place(
    redis: Redis, scorer: Scorer, queue: JobQueue, keys: Keys
) -> None:
    spec = await submitted(queue, rows=1000, window=4)
    held = await taken(scorer)
    part = a_part(failed=7)
    assert await scorer.commit(held, part) == "ok"
    status = await queue.status(spec.id)
    assert status is not None
    assert (status.done, status.failed, status.left, status.next) == (100, 7, 9, 5)
    assert await queue.parts(spec.id) == {0: part}
    assert await queue.parts(spec.id, 0, 3) == {0: part}
    assert await queue.backlog() == 900
    assert await redis.xlen(keys.chunks) == 4
    assert (await redis.xpending(keys.chunks, SCORERS_GROUP))["pending"] == 0


async def test_a_zombie_cannot_commit_and_takes_nothing_away(
    redis: Redis, scorer: Scorer, other: Scorer, queue: JobQueue, keys: Keys
) -> None:
    spec = await submitted(queue)
    zombies = await taken(scorer)
    owners = await other.reclaim()
    assert owners is not None
    before = await redis.hgetall(keys.job(spec.id))
    assert await scorer.commit(zombies, a_part(key="zombie")) == "lost"
    assert await redis.hgetall(keys.job(spec.id)) == before
    assert await queue.parts(spec.id) == {}
    assert await other.commit(owners, a_part(key="owner")) == "ok"
    assert (await queue.parts(spec.id))[0].key == "owner"


async def test_a_commit_whose_answer_was_lost_may_be_repeated(scorer: Scorer, queue: JobQueue) -> None:
    spec = await submitted(queue)
    held = await taken(scorer)
    assert [await scorer.commit(held), await scorer.commit(held)] == ["ok", "ok"]
    status = await queue.status(spec.id)
    assert status is not None
    assert status.done == 100


async def test_the_first_commit_of_a_chunk_wins(redis: Redis, scorer: Scorer, queue: JobQueue, keys: Keys) -> None:
    spec = await submitted(queue, rows=200, window=2)
    await redis.xadd(keys.chunks, {"job": spec.id, "chunk": 0, "tries": 0})
    first, _, second = await scorer.take_all()
    assert await scorer.commit(first, a_part(key="first")) == "ok"
    assert await scorer.commit(second, a_part(key="second")) == "duplicate"
    assert (await queue.parts(spec.id))[0].key == "first"
    assert await queue.backlog() == 100


async def test_a_commit_tops_up_to_the_window_of_now(redis: Redis, scorer: Scorer, queue: JobQueue, keys: Keys) -> None:
    await submitted(queue, rows=2000, window=2)
    await scorer.commit(await taken(scorer), window=6)
    assert await redis.xlen(keys.chunks) == 6
    await scorer.commit(await taken(scorer), window=3)
    assert await redis.xlen(keys.chunks) == 5, "a smaller window takes nothing back"


async def test_a_small_job_does_not_wait_for_a_large_one(scorer: Scorer, queue: JobQueue) -> None:
    await submitted(queue, rows=200_000)
    small = await submitted(queue, rows=500)
    served = 0
    while (await queue.status(small.id)).left:  # type: ignore[union-attr]
        await scorer.commit(await taken(scorer))
        served += 1
    assert served <= 14, "first in, first out would be 2,005"


async def test_the_last_commit_asks_for_finalisation_and_finish_completes(
    redis: Redis, scorer: Scorer, queue: JobQueue, keys: Keys
) -> None:
    spec = await submitted(queue, rows=150)
    while (await queue.status(spec.id)).left:  # type: ignore[union-attr]
        held = await taken(scorer)
        await scorer.commit(held, a_part(rows=spec.rows_of(held.chunk)))
    assert (await queue.status(spec.id)).state == "finalizing"  # type: ignore[union-attr]
    last = await taken(scorer)
    assert last.chunk == FINALISE
    status = await queue.status(spec.id)
    assert status is not None
    assert await queue.finish(last, status) == "ok"
    assert (await queue.status(spec.id)).state == "completed"  # type: ignore[union-attr]
    assert (await redis.xlen(keys.chunks), await queue.backlog(), await queue.open_jobs()) == (0, 0, [])
    (event,) = await entries(redis, keys.stream(JobFinished.stream))
    finished = JobFinished.of_entry(event)
    assert (finished.job_id, finished.state, finished.rows) == (spec.id, "completed", 150)


async def test_a_zombie_cannot_finish(scorer: Scorer, other: Scorer, queue: JobQueue) -> None:
    spec = await submitted(queue, rows=0)
    zombies = await taken(scorer)
    owners = await other.reclaim()
    status = await queue.status(spec.id)
    assert status is not None
    assert owners is not None
    assert await queue.finish(zombies, status) == "lost"
    assert await queue.finish(owners, status) == "ok"


async def test_a_commit_of_an_ended_job_is_dropped(scorer: Scorer, queue: JobQueue) -> None:
    spec = await submitted(queue)
    held = await taken(scorer)
    await cancel(queue, spec)
    assert await scorer.commit(held) == "gone"
    assert await queue.parts(spec.id) == {}


async def test_after_a_flush_a_commit_is_lost(redis: Redis, scorer: Scorer, queue: JobQueue) -> None:
    await submitted(queue)
    held = await taken(scorer)
    await redis.flushall()
    assert await scorer.commit(held) == "lost"
    assert await queue.renew(held) == "lost"
    assert (await queue.begin(held)).answer == "lost"


async def test_a_chunk_that_is_given_up_leaves_a_dead_letter(
    redis: Redis, scorer: Scorer, queue: JobQueue, keys: Keys
) -> None:
    spec = await submitted(queue)
    held = await taken(scorer)
    letter = DeadLetter(job_id=spec.id, row=7, chunk=0, reason="it killed two scorers", deaths=2)
    for _ in range(2):
        answer, _ = await queue.commit(held, a_part(failed=1, dead=[letter]), window=4)
        assert answer == "ok"
    bodies: Any = await redis.hgetall(keys.dead_letter_bodies)
    assert {name: DeadLetter.model_validate_json(body) for name, body in bodies.items()} == {f"{spec.id}:7": letter}
    assert await redis.zrange(keys.dead_letters, 0, -1) == [letter.id]


async def test_jobs_of_unequal_priority_share_the_stream_by_weight(queue: JobQueue, scorer: Scorer) -> None:
    low = await submitted(queue, rows=4000, window=8, priority="low")
    high = await submitted(queue, rows=4000, window=8, priority="high")
    normal = await submitted(queue, rows=4000, window=8)
    served = []
    for _ in range(60):
        held = await taken(scorer)
        assert await scorer.commit(held, window=8) == "ok"
        served.append(held.job)
    late = served[-28:]  # by then the low one has lost the head start it got while it was alone
    assert {spec.priority: late.count(spec.id) for spec in (low, normal, high)} == {"low": 4, "normal": 8, "high": 16}


async def test_a_job_of_low_priority_gets_what_the_others_leave(
    redis: Redis, queue: JobQueue, scorer: Scorer, keys: Keys
) -> None:
    """An open job that has little to do, or is stuck, must not keep scorers idle."""
    await submitted(queue, rows=100, window=8, priority="high")
    await taken(scorer)
    low = await submitted(queue, rows=4000, window=8, priority="low")
    assert await redis.xlen(keys.chunks) == 8
    high = await submitted(queue, rows=4000, window=8, priority="high")
    for _ in range(30):
        assert await scorer.commit(await taken(scorer), window=8) == "ok"
    waiting = [entry["job"] for entry in await entries(redis, keys.chunks)]
    assert (waiting.count(low.id), waiting.count(high.id)) == (2, 8)


async def test_the_end_of_a_job_with_a_webhook_is_to_be_told_once(
    redis: Redis, scorer: Scorer, queue: JobQueue, keys: Keys
) -> None:
    told = await submitted(queue, rows=0, webhook="https://example.org/hook")
    await submitted(queue, rows=0)
    for _ in range(2):
        held = await taken(scorer)
        status = await queue.status(held.job)
        assert status is not None
        assert await queue.finish(held, status.model_copy(update={"state": "completed"})) == "ok"
    assert await redis.zrange(keys.webhooks_due, 0, -1) == [told.id]
    message: Any = await redis.hgetall(keys.webhook(told.id))
    assert (message["url"], message["state"]) == ("https://example.org/hook", "due")
    body = json.loads(message["body"])
    assert (body["type"], body["data"]["id"], body["data"]["state"]) == ("job.completed", told.id, "completed")


# --- events and memory


async def test_a_commit_tells_of_the_chunk_once(redis: Redis, scorer: Scorer, queue: JobQueue, keys: Keys) -> None:
    await submitted(queue)
    held = await taken(scorer)
    for _ in range(2):
        answer = await queue.commit(held, a_part(), window=4, event=an_event(held), event_bytes=MEGABYTE)
        assert answer == ("ok", 0)
    (event,) = await entries(redis, keys.stream(ChunkScored.stream))
    assert ChunkScored.of_entry(event).chunk == held.chunk


async def test_events_beyond_their_bound_are_dropped_and_counted(
    redis: Redis, scorer: Scorer, queue: JobQueue, keys: Keys
) -> None:
    await submitted(queue, rows=10_000)
    stream = keys.stream(ChunkScored.stream)
    dropped = 0
    for _ in range(100):
        held = await taken(scorer)
        answer, rows = await queue.commit(held, a_part(), window=4, event=an_event(held), event_bytes=8192)
        assert answer == "ok"
        dropped += rows
    assert (await redis.memory_usage(stream, samples=0) or 0) <= 2 * 8192  # it is an estimate
    assert dropped + 100 * await redis.xlen(stream) == 10_000
    assert await redis.hget(keys.dropped_events, ChunkScored.stream) == str(dropped)


async def test_work_is_finished_under_a_full_memory_and_new_work_refused(
    redis: Redis, scorer: Scorer, queue: JobQueue
) -> None:
    spec = await submitted(queue, rows=200, window=2)
    held = await taken(scorer)
    await redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(ResponseError, match=r"OOM|maxmemory"):
            await queue.submit(a_spec(), 4)
        assert await scorer.commit(held) == "ok"
        assert await scorer.commit(await taken(scorer)) == "ok"
        last = await taken(scorer)
        status = await queue.status(spec.id)
        assert status is not None
        assert await queue.renew(last) == "ok"
        assert await queue.finish(last, status) == "ok"
    finally:
        await redis.config_set("maxmemory", "256mb")


# --- leases


async def test_renewing_tells_that_the_job_has_ended_and_drops_the_entry(
    redis: Redis, scorer: Scorer, queue: JobQueue, keys: Keys
) -> None:
    spec = await submitted(queue, window=1)
    held = await taken(scorer)
    await cancel(queue, spec)
    assert await queue.renew(held) == "gone"
    assert await redis.xlen(keys.chunks) == 0
    assert await queue.renew(held) == "lost"


async def test_a_job_whose_rows_are_all_scored_does_not_expire(scorer: Scorer, queue: JobQueue) -> None:
    spec = await submitted(queue, rows=100)
    assert await scorer.commit(await taken(scorer)) == "ok"
    status = await queue.status(spec.id)
    assert status is not None
    assert await queue.end(status, "expired", "too late") == "finalizing"
    assert await queue.status(spec.id) == status
    assert await queue.renew(await taken(scorer)) == "ok"


async def test_a_renewed_lease_is_young_and_counts_no_delivery(redis: Redis, scorer: Scorer, queue: JobQueue) -> None:
    await submitted(queue)
    held = await taken(scorer)
    assert await queue.renew(held) == "ok"
    assert (await queue.begin(held)).deliveries == 1


async def test_a_lease_that_was_taken_over_cannot_be_renewed(scorer: Scorer, other: Scorer, queue: JobQueue) -> None:
    await submitted(queue)
    held = await taken(scorer)
    await other.reclaim()
    assert await queue.renew(held) == "lost"


async def test_a_released_entry_is_taken_at_once_and_counts_no_delivery(
    redis: Redis, scorer: Scorer, other: Scorer, queue: JobQueue, keys: Keys
) -> None:
    await submitted(queue, rows=100)
    await taken(scorer)
    held = await other.reclaim()
    assert held is not None
    assert await queue.release(held)
    assert not await queue.release(held)
    (fields,) = await entries(redis, keys.chunks)
    assert fields["tries"] == "1", "the first delivery counts, the released one does not"
    again = await scorer.take()
    assert again is not None
    assert await scorer.commit(again) == "ok"


async def test_a_delivery_that_failed_counts_although_its_entry_is_released(
    redis: Redis, scorer: Scorer, queue: JobQueue, keys: Keys
) -> None:
    await submitted(queue, rows=100)
    assert await queue.release(await taken(scorer), failed=True)
    (fields,) = await entries(redis, keys.chunks)
    assert fields["tries"] == "1"


async def test_a_job_is_suspect_once_rows_of_it_were_given_up(scorer: Scorer, queue: JobQueue) -> None:
    spec = await submitted(queue, rows=300)
    harmless, harmful, next_one = await scorer.take_all()
    await scorer.commit(harmless)
    assert await queue.begin(harmful) == Begun("ok", 1, suspect=False, letters=0, starts=True)
    dead = [DeadLetter(job_id=spec.id, chunk=1, row=row, reason="it crashes", deaths=3) for row in (117, 119)]
    await scorer.commit(harmful, a_part(dead=dead))
    assert await queue.begin(next_one) == Begun("ok", 1, suspect=True, letters=2, starts=False)
    assert await queue.status(spec.id), "it can still be read"


# --- the end, early


async def cancel(queue: JobQueue, spec: JobSpec) -> str:
    status = await queue.status(spec.id)
    assert status is not None
    return await queue.end(status, "cancelled")


async def test_cancel_ends_a_job_once_and_frees_its_backlog(
    redis: Redis, scorer: Scorer, queue: JobQueue, keys: Keys
) -> None:
    spec = await submitted(queue, rows=1000)
    await scorer.commit(await taken(scorer))
    assert await cancel(queue, spec) == "running"
    assert await cancel(queue, spec) == "cancelled"
    assert await queue.backlog() == 0
    assert await redis.xlen(keys.stream(JobFinished.stream)) == 1


async def test_an_early_end_counts_the_rows_before_the_first_gap_from_its_first_moment(
    scorer: Scorer, queue: JobQueue
) -> None:
    spec = await submitted(queue, rows=1000)
    first, second, _, fourth = await scorer.take_all()
    await scorer.commit(first, a_part(failed=3))
    await scorer.commit(fourth, a_part(failed=4))
    await scorer.commit(second, a_part())
    await cancel(queue, spec)
    status = await queue.status(spec.id)
    assert status is not None
    assert (status.state, status.done, status.failed) == ("cancelled", 200, 3)
    assert await queue.backlog() == 0


async def test_a_cancelled_job_leaves_no_more_than_its_window_in_the_stream(
    redis: Redis, scorer: Scorer, queue: JobQueue, keys: Keys
) -> None:
    spec = await submitted(queue, rows=100_000, window=4)
    await cancel(queue, spec)
    assert await redis.xlen(keys.chunks) == 4
    for held in await scorer.take_all():
        assert (await queue.begin(held)).answer == "gone"
    assert await redis.xlen(keys.chunks) == 0


async def test_a_completed_job_cannot_be_cancelled(scorer: Scorer, queue: JobQueue) -> None:
    spec = await submitted(queue, rows=0)
    status = await queue.status(spec.id)
    assert status is not None
    recorded = status.model_copy(update={"finished_at": status.created_at})
    await queue.finish(await taken(scorer), recorded)
    assert await cancel(queue, spec) == "completed"
    status = await queue.status(spec.id)
    assert status is not None
    assert (status.state, status.finished_at) == ("completed", status.created_at), "as the manifest says"


async def test_an_unknown_job_cannot_be_ended(queue: JobQueue) -> None:
    spec = a_spec()
    from shared.jobs import JobStatus  # noqa: PLC0415

    assert await queue.end(JobStatus.submitted(spec), "cancelled") == "unknown"


# --- mending


async def test_lost_entries_are_fed_again(redis: Redis, scorer: Scorer, queue: JobQueue, keys: Keys) -> None:
    spec = await submitted(queue, rows=1000, window=4)
    await redis.xtrim(keys.chunks, maxlen=0)
    assert await queue.feed(spec.id, 4, missing=[0, 1, 2, 3]) == 4
    assert sorted(held.chunk for held in await scorer.take_all()) == [0, 1, 2, 3]


async def test_a_chunk_with_a_part_is_not_fed_again(redis: Redis, scorer: Scorer, queue: JobQueue, keys: Keys) -> None:
    spec = await submitted(queue, rows=200, window=1)
    await scorer.commit(await taken(scorer), window=1)
    assert await queue.feed(spec.id, 1, missing=[0]) == 0


async def test_counts_that_disagree_with_the_parts_are_put_right(
    redis: Redis, scorer: Scorer, queue: JobQueue, keys: Keys
) -> None:
    spec = await submitted(queue, rows=200, window=2)
    for held in await scorer.take_all():
        await redis.hset(keys.parts(spec.id), str(held.chunk), a_part().model_dump_json())
    assert await queue.feed(spec.id, 2) == 1
    assert (await queue.status(spec.id)).state == "finalizing"  # type: ignore[union-attr]


async def test_feeding_tops_up_when_scorers_were_added(redis: Redis, queue: JobQueue, keys: Keys) -> None:
    spec = await submitted(queue, rows=1000, window=2)
    assert await queue.feed(spec.id, 8) == 6
    assert await redis.xlen(keys.chunks) == 8


async def test_a_consumer_that_holds_something_is_not_retired(
    redis: Redis, scorer: Scorer, queue: JobQueue, keys: Keys
) -> None:
    await submitted(queue)
    held = await taken(scorer)
    assert not await Upkeep(queue, redis).retire("a")
    await scorer.commit(held)
    assert await Upkeep(queue, redis).retire("a")
    assert await redis.xinfo_consumers(keys.chunks, SCORERS_GROUP) == []
