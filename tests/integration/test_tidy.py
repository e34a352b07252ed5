"""What the janitor removes: jobs past their retention, and what jobs left behind."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis

from services.gateway.settings import GatewaySettings
from services.scorer import tidy
from services.scorer.restore import ABANDONED
from services.scorer.tidy import SWEEP_AFTER, Tidier
from shared.broker import ensure_group
from shared.clock import utc_now
from shared.jobs import DeadLetter, JobSpec, Part
from shared.keys import SCORERS_GROUP, job_path, part_path
from shared.records import SPEC, end_job, find_job
from shared.scripts import JobQueue
from shared.settings import SettingsInvalid
from shared.store import Store, StoreUnavailable
from tests.builders import a_spec
from tests.integration.by_hand import gateway, problem
from tests.integration.test_janitor import RETENTION, Site, flushed
from tests.scorers import Fleet, Jobs
from tests.waiting import eventually

pytestmark = pytest.mark.delivery

OLD = "0184d5a0-0000-7000-8000-000000000000"  # of the year 2022


@pytest.fixture
async def site(redis: Redis, queue: JobQueue, store: Store) -> Site:
    await ensure_group(redis, queue.keys.chunks, SCORERS_GROUP)
    return Site(redis, queue, store)


async def an_ended_job(site: Site, rows: int = 200, **fields: object) -> JobSpec:
    """One part and one dead letter, then cancelled."""
    spec = await site.submit(rows=rows, **fields)
    await site.store.put(spec.input_key, b"input")
    held = await site.take()
    letter = DeadLetter(job_id=spec.id, row=7, chunk=0, reason="it killed two scorers", deaths=2)
    part = Part(key=part_path(spec.id, 0, "won"), sha256="00", rows=100, failed=1, dead_letters=(letter,))
    await site.store.put(part.key, b"part")
    assert await site.queue.commit(held, part, window=4) == ("ok", 0)
    await end_job(site.queue, site.store, spec.id, "cancelled")
    await site.redis.xtrim(site.queue.keys.chunks, maxlen=0)
    return spec


async def ended_at(site: Site, at: datetime, *specs: JobSpec) -> None:
    """Let jobs have ended at another time."""
    score = int(at.timestamp() * 1000)
    for key in (site.queue.keys.ended_jobs, site.queue.keys.unswept_jobs):
        await site.redis.zadd(key, {spec.id: score for spec in specs})


async def stored(site: Site, spec: JobSpec) -> Sequence[str]:
    prefix = job_path(spec.id, "")
    return sorted([key.removeprefix(prefix) async for key in site.store.list(prefix)])


class CutOff(Store):
    """A janitor that dies half-way."""

    async def delete_all(self, prefix: str) -> None:
        raise StoreUnavailable(f"cut off before {prefix}")


class Stubborn(Store):
    """Does not let go of some jobs, for want of a permission."""

    kept: Sequence[str] = ()

    async def delete_all(self, prefix: str) -> None:
        if any(job_id in prefix for job_id in self.kept):
            raise PermissionError(prefix)
        await super().delete_all(prefix)


# --- retention


async def test_a_job_past_its_retention_is_removed_everywhere(site: Site) -> None:
    old, young = await an_ended_job(site), await an_ended_job(site)
    await ended_at(site, utc_now() - RETENTION, old)
    await ended_at(site, utc_now() - RETENTION + timedelta(minutes=1), young)
    await site.tidier.remove()
    assert await site.store.directories("jobs") == [young.id]
    assert await site.redis.keys(f"*{old.id}*") == []
    keys = site.queue.keys
    for ids in (keys.jobs, keys.ended_jobs, keys.unswept_jobs):
        assert await site.redis.zrange(ids, 0, -1) == [young.id]
    assert await site.redis.zrange(keys.dead_letters, 0, -1) == [f"{young.id}:7"]
    assert await site.redis.hkeys(keys.dead_letter_bodies) == [f"{young.id}:7"]
    assert await find_job(site.queue, site.store, old.id) is None
    assert site.removed() == {"jobs": 1}


async def test_a_removal_that_was_cut_off_is_finished_and_runs_nothing_again(site: Site) -> None:
    spec = await an_ended_job(site)
    await ended_at(site, utc_now() - RETENTION, spec)
    cut_off = Tidier(site.upkeep, CutOff.open(site.store.url), retention=RETENTION, metrics=site.metrics)
    await cut_off.remove()
    assert site.removed() == {}
    await site.restorer.restore()
    await site.tidier.remove()
    assert await site.store.directories("jobs") == []
    assert (await site.queue.ids(10), await site.in_stream()) == ([], [])


async def test_what_was_never_submitted_is_removed_once_it_is_old(site: Site, store: Store) -> None:
    uploading = a_spec().id
    for job_id in (OLD, uploading):
        await store.put(f"jobs/{job_id}/input-0.chunks", b"its gateway died")
    await site.restorer.restore()
    assert await store.directories("jobs") == [uploading]
    assert site.removed() == {"leftovers": 1}


async def test_jobs_that_cannot_be_removed_do_not_stand_in_the_way_of_others(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = [await an_ended_job(site) for _ in range(tidy.AT_ONCE)]
    young = await an_ended_job(site)
    await ended_at(site, utc_now() - 2 * RETENTION, *old)
    await ended_at(site, utc_now() - RETENTION, young)
    monkeypatch.setattr(Stubborn, "kept", [spec.id for spec in old])
    tidier = Tidier(site.upkeep, Stubborn.open(site.store.url), retention=RETENTION, metrics=site.metrics)

    async def is_removed() -> bool:
        with suppress(PermissionError):
            await tidier.remove()
        return not await site.store.exists(job_path(young.id, SPEC))

    await eventually(is_removed)


def test_no_id_is_reserved_until_its_upload_counts_as_abandoned() -> None:
    with pytest.raises(SettingsInvalid, match="IDEMPOTENCY_HOURS"):
        GatewaySettings.load(gateway_idempotency_hours=ABANDONED / timedelta(hours=1))


async def test_a_removal_that_was_cut_off_before_a_flush_is_finished_too(site: Site) -> None:
    spec = await an_ended_job(site, id=OLD)
    await ended_at(site, utc_now() - RETENTION, spec)
    await Tidier(site.upkeep, CutOff.open(site.store.url), retention=RETENTION, metrics=site.metrics).remove()
    await flushed(site)
    await site.restorer.restore()
    assert await site.store.directories("jobs") == []
    assert (await site.queue.ids(10), await site.in_stream()) == ([], [])


async def test_one_look_removes_a_bounded_number_and_the_next_the_rest(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tidy, "MOST", 10)
    specs = [await site.submit(rows=0) for _ in range(12)]
    for spec in specs:
        await end_job(site.queue, site.store, spec.id, "cancelled")
    await ended_at(site, utc_now() - RETENTION, *specs)
    await site.tidier.remove()
    assert len(await site.store.directories("jobs")) == 2
    await site.tidier.remove()
    assert await site.store.directories("jobs") == []


# --- leftovers of jobs


async def test_what_the_record_does_not_refer_to_is_swept_some_time_after_the_end(site: Site) -> None:
    spec = await an_ended_job(site)
    for name in ("parts/0-lost.arrow", "parts/1-late.arrow", "input-1.chunks", "webhook.json"):
        await site.store.put(job_path(spec.id, name), b"")
    before = await stored(site, spec)
    await site.tidier.sweep()
    assert await stored(site, spec) == before, "a scorer that lost its lease may still be writing"
    await ended_at(site, utc_now() - SWEEP_AFTER, spec)
    await site.tidier.sweep()
    assert await stored(site, spec) == ["end.json", "input", "job.json", "parts/0-won.arrow", "webhook.json"]
    assert site.removed() == {"parts": 2, "input": 1}
    assert await site.redis.zrange(site.queue.keys.unswept_jobs, 0, -1) == []


async def test_a_damaged_record_costs_nobody_a_part(site: Site) -> None:
    damaged, other = await an_ended_job(site), await an_ended_job(site)
    for spec in (damaged, other):
        await site.store.put(job_path(spec.id, "parts/0-lost.arrow"), b"")
    await site.store.put(job_path(damaged.id, SPEC), b"damaged")
    await ended_at(site, utc_now() - SWEEP_AFTER, damaged, other)
    await site.tidier.sweep()
    assert "parts/0-lost.arrow" in await stored(site, damaged)
    assert "parts/0-lost.arrow" not in await stored(site, other)
    assert await site.redis.zrange(site.queue.keys.unswept_jobs, 0, -1) == []


# --- all of it


async def test_a_scorer_removes_what_it_completed_when_its_time_has_come(
    queue: JobQueue, store: Store, redis_url: str, tmp_path: Path
) -> None:
    jobs = await Jobs.of(queue, store)
    with Fleet(tmp_path, redis_url, store) as fleet:
        spec = await jobs.submit(jobs.rows(300), 100)
        fleet.start(job_retention_days=1 / 86_400)

        async def removed() -> bool:
            return not await store.directories("jobs") and not await queue.ids(10)

        await eventually(removed)
    async with gateway(redis_url, store, tmp_path, job_retention_days=1 / 86_400) as gate:
        for rest in ("", "/results"):
            assert problem(await gate.client.get(f"/jobs/{spec.id}{rest}")) == "410 job-gone"
