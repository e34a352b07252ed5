"""`Idempotency-Key`: one key and one request mean one job, whatever happens in between."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from services.gateway.jobs.idempotency import Idempotency
from services.gateway.problems import Problem
from services.gateway.tables import Format
from shared.jobs import new_job_id
from shared.keys import Keys
from shared.scripts import JobQueue
from shared.store import Store
from tests.integration.by_hand import Gateway, HandScorer, a_csv, gateway, problem, ready_store
from tests.waiting import eventually

pytestmark = pytest.mark.delivery


@pytest.fixture
async def store(tmp_path: Path) -> Store:
    return await ready_store(tmp_path)


@pytest.fixture
async def gate(redis_url: str, store: Store, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway(redis_url, store, tmp_path) as running:
        yield running


@pytest.fixture
def idempotency(redis: Redis, keys: Keys) -> Idempotency:
    return Idempotency(redis, keys, hours=1)


def fingerprint(body: bytes) -> str:
    return f"{hashlib.sha256(body).hexdigest()} {Format.CSV.name} identity {{}}"


async def test_a_key_stands_for_one_job(gate: Gateway, redis: Redis, store: Store) -> None:
    first = await gate.submitted(a_csv(5), Idempotency_Key="k1")
    again = await gate.submit(a_csv(5), Idempotency_Key="k1")
    assert (again.status_code, again.headers["location"]) == (202, f"/jobs/{first['id']}")
    assert again.json() == first
    await HandScorer(redis, store).work()
    finished = await gate.submitted(a_csv(5), Idempotency_Key="k1")
    assert (finished["id"], finished["state"]) == (first["id"], "completed")
    assert (await gate.submitted(a_csv(5), Idempotency_Key="k2"))["id"] != first["id"]


async def test_a_key_in_quotes_is_the_same_key(gate: Gateway) -> None:
    first = await gate.submitted(a_csv(1), Idempotency_Key='"a\\"b"')
    assert (await gate.submitted(a_csv(1), Idempotency_Key='a"b'))["id"] == first["id"]
    assert problem(await gate.submit(a_csv(1), Idempotency_Key='"a')) == "400 malformed-request"


async def test_another_request_with_the_key_is_refused(gate: Gateway) -> None:
    await gate.submitted(a_csv(5), query="priority=high", Idempotency_Key="k")
    mismatch = "422 idempotency-mismatch"
    assert problem(await gate.submit(a_csv(6), query="priority=high", Idempotency_Key="k")) == mismatch
    assert problem(await gate.submit(a_csv(5), query="priority=low", Idempotency_Key="k")) == mismatch
    assert problem(await gate.submit(a_csv(5), "application/jsonl", "priority=high", Idempotency_Key="k")) == mismatch


async def test_a_key_whose_body_is_still_arriving_is_taken(gate: Gateway, redis: Redis, keys: Keys) -> None:
    arrive = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield a_csv(3)[:20]
        await arrive.wait()
        yield a_csv(3)[20:]

    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    async def sent(body: AsyncIterator[bytes]) -> httpx.Response:
        headers = {"Content-Type": "text/csv", "Idempotency-Key": "k"}
        return await gate.client.post("/jobs", content=body, headers=headers)

    first = asyncio.create_task(sent(slowly()))
    await eventually(lambda: redis.exists(keys.lease("idempotency:k")))
    refused = await sent(never())
    assert problem(refused) == "409 idempotency-in-progress"
    assert int(refused.headers["retry-after"]) > 0
    arrive.set()
    job = (await first).raise_for_status().json()
    assert (await gate.submitted(a_csv(3), Idempotency_Key="k"))["id"] == job["id"]


async def test_repeats_at_the_same_time_make_one_job(gate: Gateway, store: Store, queue: JobQueue) -> None:
    answers = await asyncio.gather(*(gate.submit(a_csv(30), Idempotency_Key="k") for _ in range(8)))
    accepted = [answer.json()["id"] for answer in answers if answer.status_code == 202]
    assert len(set(accepted)) == 1
    assert {problem(answer) for answer in answers if answer.status_code != 202} <= {"409 idempotency-in-progress"}
    assert len((await gate.client.get("/jobs")).json()["jobs"]) == 1
    assert await queue.backlog() == 30
    assert len([key async for key in store.list("jobs") if "input" in key]) == 1


async def test_a_key_is_free_again_when_its_request_was_refused(gate: Gateway) -> None:
    assert (await gate.submit(b"length\n1\n", Idempotency_Key="k")).status_code == 422
    await gate.submitted(a_csv(1), Idempotency_Key="k")


async def test_a_repeat_that_is_refused_leaves_the_key_to_the_first(
    redis_url: str, idempotency: Idempotency, store: Store, tmp_path: Path
) -> None:
    """The first one's gateway may only be slow: were its key free, a third request would make a second job."""
    body, first = a_csv(5), new_job_id()
    async with idempotency.claim("k") as claim:
        await claim.settle(fingerprint(body), first)
    async with gateway(redis_url, store, tmp_path, gateway_max_backlog_rows=5) as gate:
        await gate.submitted(a_csv(1))
        assert problem(await gate.submit(body, Idempotency_Key="k")) == "429 over-quota"
    async with idempotency.claim("k") as claim:
        assert (await claim.settle(fingerprint(body), new_job_id())).job_id == first


async def test_a_repeat_is_answered_while_there_is_no_room_for_more(
    redis_url: str, store: Store, tmp_path: Path
) -> None:
    async with gateway(redis_url, store, tmp_path, gateway_max_backlog_rows=5) as gate:
        first = await gate.submitted(a_csv(5), Idempotency_Key="k")
        assert problem(await gate.submit(a_csv(5), Idempotency_Key="other")) == "429 over-quota"
        assert (await gate.submitted(a_csv(5), Idempotency_Key="k"))["id"] == first["id"]


async def test_a_repeat_goes_on_with_the_id_that_was_settled(gate: Gateway, idempotency: Idempotency) -> None:
    """The gateway was killed before it had written anything of the job."""
    first = new_job_id()
    async with idempotency.claim("k") as claim:
        await claim.settle(fingerprint(a_csv(3)), first)
    assert (await gate.submitted(a_csv(3), Idempotency_Key="k"))["id"] == first


async def test_a_repeat_finishes_what_a_killed_gateway_began(
    gate: Gateway, redis: Redis, keys: Keys, queue: JobQueue
) -> None:
    """The spec was written, but Redis never heard of the job."""
    first = await gate.submitted(a_csv(3), Idempotency_Key="k")
    await redis.delete(keys.job(first["id"]), keys.jobs, keys.backlog)
    again = await gate.submitted(a_csv(3), Idempotency_Key="k")
    assert again["id"] == first["id"]
    assert await queue.backlog() == 3


async def test_a_repeat_finds_a_job_that_redis_forgot(gate: Gateway, redis: Redis, keys: Keys, store: Store) -> None:
    first = await gate.submitted(a_csv(3), Idempotency_Key="k")
    await HandScorer(redis, store).work()
    await redis.delete(keys.job(first["id"]))
    again = await gate.submitted(a_csv(3), Idempotency_Key="k")
    assert (again["id"], again["state"]) == (first["id"], "completed")


async def test_who_was_paused_for_too_long_neither_takes_nor_frees_a_key(
    idempotency: Idempotency, redis: Redis, keys: Keys
) -> None:
    paused_job, job = new_job_id(), new_job_id()
    async with idempotency.claim("k") as paused:
        await redis.delete(keys.lease("idempotency:k"))  # its time is up
        async with idempotency.claim("k") as other:
            with pytest.raises(Problem) as refused:
                await paused.settle("f", paused_job)
            assert refused.value.slug == "idempotency-in-progress"
            assert await other.settle("f", job)
            await paused.forget()
        await paused.forget()
        assert (await paused.settle("f", paused_job)).job_id == job, "it is the other's job now"
    with pytest.raises(Problem, match="take a new key"):
        async with idempotency.claim("k") as late:
            await late.settle("g", new_job_id())


async def test_who_was_paused_for_too_long_leaves_its_job_to_the_next(
    idempotency: Idempotency, redis: Redis, keys: Keys
) -> None:
    """It was the first, and is refused in the end: the next one may have got the job accepted meanwhile."""
    job = new_job_id()
    async with idempotency.claim("k") as paused:
        await paused.settle("f", job)
        await redis.delete(keys.lease("idempotency:k"))
        async with idempotency.claim("k") as other:
            assert (await other.settle("f", new_job_id())).job_id == job
            await paused.forget()
            assert await other.known()
