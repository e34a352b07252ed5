"""Delivering messages, on a real server and with real connections: signed, once where it can be, and until received."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from services.monitor.webhooks import DIED, FAILED, Webhooks
from shared.jobs import JobStatus, job_message, new_job_id
from shared.keys import Keys, job_path
from shared.scripts import JobQueue
from shared.store import Store, StoreUnavailable
from shared.tasks import end
from shared.webhooks.addresses import Guard
from shared.webhooks.delivery import Delivery, Resolve
from shared.webhooks.messages import KEPT, Claimed, Messages, Webhook
from shared.webhooks.outcomes import OUTCOME, is_untold, read_outcome
from shared.webhooks.schedule import Schedule
from shared.webhooks.signing import signature
from tests.builders import a_spec
from tests.receiver import HANG, Receiver, receiver
from tests.redis_server import RedisServer
from tests.waiting import eventually

KEY = bytes(range(32))
BODY = json.dumps({"type": "job.completed", "data": {"name": "Bücher"}}, ensure_ascii=False)
PATIENCE = 60.0


@pytest.fixture
def messages(redis: Redis, keys: Keys) -> Messages:
    return Messages(redis, keys)


@dataclass
class Post:
    """Senders over one queue."""

    messages: Messages
    store: Store
    counted: Counter[str] = field(default_factory=Counter)

    @asynccontextmanager
    async def sending(
        self,
        *,
        timeout: float = 10.0,  # noqa: ASYNC109 - of an attempt
        first: float = 0.05,
        give_up: float = 3600.0,
        allowed: tuple[str, ...] = ("127.0.0.0/8",),
        store: Store | None = None,
        resolve: Resolve | None = None,
    ) -> AsyncIterator[Webhooks]:
        limit = timedelta(seconds=timeout)
        sender = Webhooks(
            self.messages,
            store or self.store,
            Delivery([KEY], Guard.of(allowed), limit, resolve=resolve),
            Schedule(timedelta(seconds=first), timedelta(seconds=give_up)),
            timeout=limit,
            counted=lambda outcome: self.counted.update([outcome]),
        )
        running = asyncio.create_task(sender.run())
        try:
            yield sender
        finally:
            await end([running])
            await sender.stop(timedelta(0))

    async def ended(self, message_id: str) -> Webhook:
        """Wait for the end of a message, recorded where it has to be."""

        async def has_ended() -> bool:
            webhook = await self.messages.find(message_id)
            return webhook is not None and webhook.state != "due" and await self.messages.waiting() == 0

        await eventually(has_ended, within=PATIENCE)
        webhook = await self.messages.find(message_id)
        assert webhook is not None
        return webhook


@pytest.fixture
def post(messages: Messages, store: Store) -> Post:
    return Post(messages, store)


async def reached(there: Receiver, times: int = 1) -> None:
    async def enough() -> bool:
        return len(there.received) >= times

    await eventually(enough, within=PATIENCE)


async def claimed(messages: Messages, hidden: timedelta) -> list[Claimed]:
    """Claim everything that is due."""
    found = [await messages.claim(message_id, hidden) for message_id, _ in await messages.due(100)]
    return [message for message in found if message is not None]


@pytest.mark.delivery
async def test_a_message_arrives_once_and_signed(post: Post, redis: Redis, keys: Keys) -> None:
    async with receiver(204) as there, post.sending(), post.sending():
        assert await post.messages.enqueue("m1", there.url, BODY)
        assert not await post.messages.enqueue("m1", there.url, "another")
        webhook = await post.ended("m1")
    (got,) = there.received
    assert (got.path, got.body) == ("/hook?token=secret", BODY.encode())
    assert (got.headers["webhook-id"], got.headers["content-type"]) == ("msg_m1", "application/json")
    assert got.headers["host"] == f"127.0.0.1:{there.port}"
    assert got.headers["user-agent"].startswith("tasador/")
    timestamp = int(got.headers["webhook-timestamp"])
    assert got.headers["webhook-signature"] == signature([KEY], "msg_m1", timestamp, got.body)
    (attempt,) = webhook.attempts
    assert (webhook.state, attempt.status, attempt.error, webhook.next_attempt_at) == ("delivered", 204, None, None)
    assert abs(attempt.at.timestamp() - timestamp) < PATIENCE
    assert post.counted == {"delivered": 1}
    assert 0 < await redis.ttl(keys.webhook("m1")) <= KEPT.total_seconds()


@pytest.mark.delivery
async def test_a_failed_attempt_is_repeated_under_the_same_id(post: Post) -> None:
    async with receiver(500, 302, b"no HTTP\r\n\r\n", 200) as there, post.sending():
        await post.messages.enqueue("m1", there.url, BODY)
        webhook = await post.ended("m1")
    assert [each.headers["webhook-id"] for each in there.received] == ["msg_m1"] * 4
    assert [attempt.status for attempt in webhook.attempts] == [500, 302, None, 200]
    errors = [attempt.error for attempt in webhook.attempts]
    assert errors[:2] == ["the receiver answered 500", "the receiver answered 302; redirects are not followed"]
    assert str(errors[2]).startswith("this is no HTTP")
    assert post.counted == {"retried": 3, "delivered": 1}


async def test_a_receiver_that_wants_no_more_gets_no_more(post: Post) -> None:
    async with receiver(410) as there, post.sending():
        await post.messages.enqueue("m1", there.url, BODY)
        webhook = await post.ended("m1")
    assert (webhook.state, len(webhook.attempts), len(there.received)) == ("disabled", 1, 1)


async def test_it_is_given_up_in_the_end(post: Post) -> None:
    async with receiver(503) as there, post.sending(give_up=0.5):
        await post.messages.enqueue("m1", there.url, BODY)
        webhook = await post.ended("m1")
    assert webhook.state == "failed"
    assert len(there.received) == len(webhook.attempts)
    assert post.counted["failed"] == 1


async def test_a_receiver_may_ask_for_time(post: Post) -> None:
    busy = b"HTTP/1.1 429 x\r\nretry-after: 500\r\ncontent-length: 0\r\n\r\n"
    async with receiver(busy) as there, post.sending():
        await post.messages.enqueue("m1", there.url, BODY)

        async def answered() -> bool:
            return post.counted["retried"] == 1

        await eventually(answered, within=PATIENCE)
    webhook = await post.messages.find("m1")
    assert webhook is not None
    assert webhook.next_attempt_at is not None
    wait = webhook.next_attempt_at - webhook.attempts[0].at
    assert (webhook.state, 400 < wait.total_seconds() < 600) == ("due", True)


@pytest.mark.parametrize(
    ("answer", "within", "error"),
    [
        (HANG, 0.5, "no answer within 0.5 s"),
        (b"HTTP/1.1 200 x\r\n" + b"x: " + b"y" * 1_000_000, PATIENCE, "this is no HTTP"),
        (b"\x16\x03\x01\x02\x00", PATIENCE, "this is no HTTP"),
    ],
    ids=["hangs", "endless headers", "no HTTP"],
)
async def test_a_receiver_that_misbehaves_costs_one_attempt(
    post: Post, answer: bytes, within: float, error: str
) -> None:
    async with receiver(answer) as there, post.sending(timeout=within, give_up=0.001):
        await post.messages.enqueue("m1", there.url, BODY)
        webhook = await post.ended("m1")
    assert webhook.state == "failed"
    assert str(webhook.attempts[0].error).startswith(error)


async def test_the_body_of_an_answer_is_not_read(post: Post) -> None:
    endless = b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n" + b"100000\r\n" + b"z" * 8_000_000
    async with receiver(endless) as there, post.sending():
        await post.messages.enqueue("m1", there.url, BODY)
        assert (await post.ended("m1")).attempts[0].status == 200


async def test_nobody_there_is_an_attempt_that_failed(post: Post) -> None:
    async with receiver(200) as there:
        url = there.url
    async with post.sending(give_up=0.001):
        await post.messages.enqueue("m1", url, BODY)
        await post.messages.enqueue("m2", "https://no-such-host.invalid/", BODY)
        assert str((await post.ended("m1")).attempts[0].error).startswith("cannot connect")
        assert str((await post.ended("m2")).attempts[0].error) == "the name of the host cannot be resolved"


@pytest.mark.parametrize(
    "url", ["https://localhost:{port}/", "https://127.0.0.1:{port}/", "http://[::ffff:127.0.0.1]:{port}/"]
)
async def test_nothing_is_sent_to_the_inside(post: Post, url: str) -> None:
    """Resolved or written: whatever came past the check at submission is refused at the door."""
    async with receiver(200) as there, post.sending(allowed=()):
        await post.messages.enqueue("m1", url.format(port=there.port), BODY)
        webhook = await post.ended("m1")
    assert (webhook.state, len(webhook.attempts), there.received) == ("failed", 1, [])
    assert "not on the public internet" in str(webhook.attempts[0].error)
    assert "127.0.0.1" not in str(webhook.attempts[0].error)


async def test_a_bug_of_ours_ends_as_any_other_failure(post: Post) -> None:
    async def broken(_: str, __: int) -> list[str]:
        raise ZeroDivisionError

    async with post.sending(give_up=0.5, resolve=broken):
        await post.messages.enqueue("m1", "https://example.org/", BODY)
        webhook = await post.ended("m1")
    assert (webhook.state, {attempt.error for attempt in webhook.attempts}) == ("failed", {FAILED})


@pytest.mark.delivery
async def test_a_sender_that_died_is_followed_by_another(post: Post) -> None:
    async with receiver(HANG, 200) as there:
        async with post.sending(timeout=3.0) as first:
            await post.messages.enqueue("m1", there.url, BODY)
            await reached(there)
            for task in list(first._tasks):  # as SIGKILL would: nothing is said of the attempt
                task.cancel()
        async with post.sending(timeout=1.0):
            webhook = await post.ended("m1")
    assert {each.headers["webhook-id"] for each in there.received} == {"msg_m1"}
    errors = [attempt.error for attempt in webhook.attempts]  # a busy machine may add a timeout in between
    assert (errors[0], errors[-1], webhook.state) == (DIED, None, "delivered")


@pytest.mark.delivery
async def test_who_was_late_does_not_overrule_who_took_over(messages: Messages) -> None:
    await messages.enqueue("m1", "https://example.org/", BODY)
    (late,) = await claimed(messages, timedelta())
    (current,) = await claimed(messages, timedelta(hours=1))
    assert await claimed(messages, timedelta()) == []
    assert not await messages.settle(late, "failed", [], tries=1, again=None)
    for _ in range(2):  # as when the first answer was lost
        assert await messages.settle(current, "delivered", [], tries=1, again=None)
    assert not await messages.settle(late, "failed", [], tries=1, again=None)
    webhook = await messages.find("m1")
    assert webhook is not None
    assert webhook.state == "delivered"


async def test_a_host_that_hangs_does_not_hold_up_others(post: Post) -> None:
    async with receiver(HANG) as hanging, receiver(200) as there, post.sending(timeout=20):
        for number in range(40):
            await post.messages.enqueue(f"h{number}", hanging.url, BODY)
        await reached(hanging)
        await post.messages.enqueue("m1", there.url, BODY)
        await reached(there)
        assert len(hanging.received) == 8


@pytest.mark.delivery
async def test_of_too_many_messages_each_is_seen_in_some_look(messages: Messages) -> None:
    names = {f"m{number}" for number in range(20)}
    for name in names:
        await messages.enqueue(name, f"https://{name}.example/", BODY)
    seen: set[tuple[str, str]] = set()
    while len(seen) < len(names):
        some = await messages.due(5)
        assert len(some) == 5
        seen |= set(some)
    assert seen == {(name, f"https://{name}.example/") for name in names}


@pytest.mark.delivery
async def test_it_is_sent_again_on_request(post: Post) -> None:
    async with receiver(410, 200) as there, post.sending():
        await post.messages.enqueue("m1", there.url, BODY)
        await post.ended("m1")
        assert await post.messages.resend("m1", there.url, BODY)
        webhook = await post.ended("m1")
    assert [attempt.status for attempt in webhook.attempts] == [410, 200]
    assert [each.headers["webhook-id"] for each in there.received] == ["msg_m1", "msg_m1"]
    assert post.counted == {"disabled": 1, "delivered": 1}


@pytest.mark.delivery
async def test_what_is_being_sent_is_not_sent_beside_it(messages: Messages) -> None:
    await messages.enqueue("m1", "https://example.org/", BODY)
    (sending,) = await claimed(messages, timedelta(hours=1))
    assert not await messages.resend("m1", sending.url, sending.body)
    assert await claimed(messages, timedelta()) == []


async def test_without_a_secret_messages_wait(post: Post) -> None:
    async with receiver(200) as there:
        await post.messages.enqueue("m1", there.url, BODY)
        second = timedelta(seconds=1)
        unable = Webhooks(post.messages, post.store, None, Schedule(), timeout=second, counted=lambda _: None)
        running = asyncio.create_task(unable.run())

        async def looked() -> bool:
            return unable.warning is not None

        await eventually(looked, within=PATIENCE)
        await end([running])
        async with post.sending() as sender:
            assert len((await post.ended("m1")).attempts) == 1
            assert sender.warning is None


# --- jobs


def an_ended(url: str) -> JobStatus:
    status = JobStatus.submitted(a_spec(webhook=url))
    return status.model_copy(update={"state": "completed", "finished_at": status.created_at})


@pytest.mark.delivery
async def test_redis_forgets_everything_and_each_end_is_told_once(post: Post, redis: Redis, queue: JobQueue) -> None:
    async with receiver(200) as there, post.sending():
        status = an_ended(there.url)
        silent = status.model_copy(update={"id": new_job_id(), "webhook": None})
        assert await restored(post, queue, status)
        assert not await restored(post, queue, silent)
        await post.ended(status.id)
        await redis.flushall()
        assert not await restored(post, queue, status)
    outcome = await read_outcome(post.store, status.id)
    assert outcome is not None
    assert (outcome.state, outcome.attempts[0].status) == ("delivered", 200)
    assert [json.loads(each.body)["data"]["id"] for each in there.received] == [status.id]


async def restored(post: Post, queue: JobQueue, status: JobStatus) -> bool:
    """Bring a job back as the janitor does; returns whether its end is told then."""
    for _ in range(2):
        await queue.restore(status, untold=await is_untold(post.store, status))
    return await post.messages.find(status.id) is not None


@pytest.mark.delivery
async def test_a_job_that_is_removed_is_not_told_of_any_more(post: Post, queue: JobQueue) -> None:
    status = an_ended("https://example.org/")
    assert await restored(post, queue, status)
    await queue.run("forget", status.id, status.id)
    assert (await post.messages.find(status.id), await post.messages.waiting()) == (None, 0)


@pytest.mark.delivery
async def test_redis_forgets_a_message_while_it_is_received(post: Post, redis: Redis) -> None:
    async with receiver(200) as there, post.sending():
        there.released.clear()
        status = an_ended(there.url)
        await post.messages.enqueue(status.id, there.url, job_message(status))
        await reached(there)
        await redis.flushall()
        there.released.set()
        await told(post, status)


@pytest.mark.delivery
async def test_redis_goes_away_during_an_attempt_and_nothing_is_sent_twice(
    redis_server: RedisServer, store: Store
) -> None:
    redis = Redis.from_url(redis_server.url, decode_responses=True)
    post = Post(Messages(redis, Keys()), store)
    async with receiver(200) as there, post.sending():
        there.released.clear()
        status = an_ended(there.url)
        await post.messages.enqueue(status.id, there.url, job_message(status))
        await reached(there)
        redis_server.kill()
        there.released.set()
        await told(post, status)  # the store, while Redis cannot be
        redis_server.start()
        webhook = await post.ended(status.id)
    await redis.aclose()
    assert (webhook.state, len(there.received), post.counted) == ("delivered", 1, {"delivered": 1})


async def told(post: Post, status: JobStatus) -> None:
    """Wait until the store knows that a job's message has ended."""

    async def recorded() -> bool:
        return not await is_untold(post.store, status)

    await eventually(recorded, within=PATIENCE)


class Full(Store):
    """A store that takes nothing at first."""

    refusals = 1

    async def put(self, key: str, data: bytes) -> None:
        if self.refusals:
            self.refusals -= 1
            raise StoreUnavailable("the disk is full")
        await super().put(key, data)


async def test_a_store_that_cannot_be_told_is_told_later_and_nothing_is_sent_again(post: Post) -> None:
    store = Full(post.store.url, post.store._backend, post.store._root)
    async with receiver(200) as there, post.sending(timeout=3.0, store=store):
        status = an_ended(there.url)
        await post.messages.enqueue(status.id, there.url, job_message(status))
        await post.ended(status.id)
    assert await post.store.exists(job_path(status.id, OUTCOME))
    assert (len(there.received), store.refusals, post.counted) == (1, 0, {"delivered": 1})
