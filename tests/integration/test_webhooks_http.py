"""Asking for a webhook, seeing what became of it, and having it sent again, over HTTP."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from shared.jobs import new_job_id
from shared.keys import Keys, job_path
from shared.store import Store
from shared.webhooks.messages import Attempt, Claimed, Messages, Webhook
from shared.webhooks.outcomes import OUTCOME, write_outcome
from tests.integration.by_hand import Gateway, HandScorer, a_csv, gateway, problem, ready_store
from tests.redis_server import RedisServer
from tests.unit.webhooks.test_signing import SECRET

URL = "https://hooks.example.org/tasador?token=secret"


@pytest.fixture
async def store(tmp_path: Path) -> Store:
    return await ready_store(tmp_path)


@pytest.fixture
async def gate(redis_url: str, store: Store, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway(redis_url, store, tmp_path, webhook_secrets=SECRET) as running:
        yield running


@pytest.fixture
def messages(redis: Redis, keys: Keys) -> Messages:
    return Messages(redis, keys)


async def submit(gate: Gateway, url: str = URL) -> Any:
    headers = {"Content-Type": "text/csv"}
    return await gate.client.post("/jobs", params={"webhook": url}, content=a_csv(3), headers=headers)


async def submitted(gate: Gateway) -> dict[str, Any]:
    answer = await submit(gate)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


async def told(gate: Gateway, job: dict[str, Any]) -> Webhook:
    answer = await gate.client.get(job["links"]["webhook"])
    assert answer.status_code == 200, answer.text
    return Webhook.model_validate(answer.json())


async def claimed(messages: Messages) -> Claimed:
    ((message_id, _),) = await messages.due(10)
    found = await messages.claim(message_id, timedelta(minutes=5))
    assert found is not None
    return found


async def fail(messages: Messages, store: Store) -> None:
    """Give a message up, as a sender does."""
    message = await claimed(messages)
    attempts = [Attempt(at=message.since, status=500, error="the receiver answered 500", seconds=0.1)]
    await write_outcome(store, message.id, Webhook(url=message.url, state="failed", attempts=tuple(attempts)))
    assert await messages.settle(message, "failed", attempts, tries=1, again=None)


async def test_a_webhook_is_followed_from_the_submission_on(
    gate: Gateway, hand: HandScorer, messages: Messages, store: Store
) -> None:
    job = await submitted(gate)
    assert await told(gate, job) == Webhook(url=URL, state="waiting")
    await hand.work()
    due = await told(gate, job)
    assert (due.state, due.attempts) == ("due", ())
    assert due.next_attempt_at is not None
    await fail(messages, store)
    failed = await told(gate, job)
    assert (failed.url, failed.state, failed.next_attempt_at) == (URL, "failed", None)
    assert [attempt.status for attempt in failed.attempts] == [500]


async def test_a_job_that_was_cancelled_is_told_of_as_such(gate: Gateway, messages: Messages) -> None:
    job = await submitted(gate)
    await gate.client.delete(job["links"]["self"])
    body = json.loads((await claimed(messages)).body)
    assert (body["type"], body["data"]["links"]) == ("job.cancelled", job["links"])


async def test_it_is_sent_again_on_request(gate: Gateway, hand: HandScorer, messages: Messages, store: Store) -> None:
    job = await submitted(gate)
    resend = job["links"]["webhook"] + "/resend"
    assert problem(await gate.client.post(resend)) == "409 conflict"
    await hand.work()
    await fail(messages, store)
    for _ in range(2):
        answer = await gate.client.post(resend)
        assert (answer.status_code, answer.headers["location"]) == (202, job["links"]["webhook"])
        again = Webhook.model_validate(answer.json())
        assert (again.state, len(again.attempts)) == ("due", 1)
    assert not await store.exists(job_path(job["id"], OUTCOME))  # else a flush would lose what was asked for
    message = await claimed(messages)
    assert (message.id, message.url, message.tries) == (job["id"], URL, 0)


async def test_it_is_sent_again_after_redis_has_forgotten_it(
    gate: Gateway, hand: HandScorer, messages: Messages, store: Store, redis: Redis
) -> None:
    job = await submitted(gate)
    await hand.work()
    await fail(messages, store)
    await redis.flushall()
    assert (await told(gate, job)).state == "failed"  # from the store
    assert (await gate.client.post(job["links"]["webhook"] + "/resend")).status_code == 202
    message = await claimed(messages)
    assert f'"id":"{job["id"]}"' in message.body


async def test_what_is_not_there_is_404(gate: Gateway, hand: HandScorer) -> None:
    plain = await gate.submitted(a_csv(3))
    assert "webhook" not in plain["links"]
    await hand.work()
    for job_id, expected in ((plain["id"], "404 webhook-not-found"), (new_job_id(), "404 job-not-found")):
        assert problem(await gate.client.get(f"/jobs/{job_id}/webhook")) == expected
        assert problem(await gate.client.post(f"/jobs/{job_id}/webhook/resend")) == expected


@pytest.mark.parametrize(
    "url", ["http://hooks.example.org/", "https://169.254.169.254/latest", "https://localhost/", "x"]
)
async def test_a_url_that_may_not_be_sent_to_is_refused_at_once(gate: Gateway, store: Store, url: str) -> None:
    answer = await submit(gate, url)
    assert problem(answer) == "422 invalid-parameter"
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/query/webhook"]
    assert [key async for key in store.list("jobs")] == []


async def test_without_a_secret_webhooks_are_refused(redis_url: str, store: Store, tmp_path: Path) -> None:
    async with gateway(redis_url, store, tmp_path) as gate:
        answer = await submit(gate)
    assert problem(answer) == "422 invalid-parameter"
    assert "TASADOR_WEBHOOK_SECRETS" in answer.json()["detail"]


async def test_without_redis_what_has_ended_is_told(redis_server: RedisServer, store: Store, tmp_path: Path) -> None:
    async with gateway(redis_server.url, store, tmp_path, webhook_secrets=SECRET) as gate:
        ended, open_ = await submitted(gate), await submitted(gate)
        await gate.client.delete(ended["links"]["self"])
        await write_outcome(store, ended["id"], Webhook(url=URL, state="delivered"))
        redis_server.kill()
        assert (await told(gate, ended)).state == "delivered"
        assert problem(await gate.client.get(open_["links"]["webhook"])) == "503 redis-unavailable"
        assert problem(await gate.client.post(ended["links"]["webhook"] + "/resend")) == "503 redis-unavailable"
