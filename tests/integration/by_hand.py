"""A gateway in this process, and a scorer that works only when it is told to."""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from redis.asyncio import Redis

from services.gateway.__main__ import build
from services.gateway.app import create_app
from services.gateway.dead_letters import Letters, dead_letters_router
from services.gateway.front import Front
from services.gateway.jobs import Jobs, JobWebhooks, jobs_router, webhooks_router
from services.gateway.settings import GatewaySettings
from shared.artifact import sha256
from shared.broker import connect, ensure_group
from shared.chunks import RowError, decode_chunk, encode_part
from shared.jobs import DeadLetter, JobRecord, Part, target_window
from shared.keys import SCORERS_GROUP, Keys, job_path
from shared.records import prefix, read_spec, write_manifest
from shared.replica import Replica
from shared.scripts import FINALISE, Held, JobQueue
from shared.store import Store
from shared.webhooks.messages import Messages
from tests.artifacts import a_champion

HEADER = "count,length,weight,place,grade"


def a_csv(rows: int, **bad: str) -> bytes:
    """Row i has count i; `row_7="x,…"` puts another line there."""
    lines = [bad.get(f"row_{i}", f"{i},10.5,2,north,a") for i in range(rows)]
    return "\n".join([HEADER, *lines, ""]).encode()


def problem(answer: httpx.Response) -> str:
    """Return status and type of an answer that has to be a problem."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert answer.json()["request_id"]
    return f"{answer.status_code} {answer.json()['type'].rsplit('/', 1)[-1]}"


@dataclass(frozen=True)
class Gateway:
    app: Front
    client: httpx.AsyncClient
    jobs: Jobs

    async def submit(
        self, body: bytes, content_type: str = "text/csv", query: str = "", **headers: str
    ) -> httpx.Response:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post(f"/jobs?{query}", content=body, headers={"Content-Type": content_type} | names)

    async def submitted(
        self, body: bytes, content_type: str = "text/csv", query: str = "", **headers: str
    ) -> dict[str, Any]:
        answer = await self.submit(body, content_type, query, **headers)
        assert answer.status_code == 202, answer.text
        job: dict[str, Any] = answer.json()
        return job

    async def job(self, job: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = (await self.client.get(job["links"]["self"])).raise_for_status().json()
        return found


@asynccontextmanager
async def gateway(redis_url: str, store: Store, tmp_path: Path, **settings: Any) -> AsyncIterator[Gateway]:
    """A gateway over a store that has a champion."""
    loaded = GatewaySettings.load(
        redis_url=redis_url, store_url=store.url, state_dir=tmp_path, model_name="model", **settings
    )
    redis = connect(loaded)
    parts = build(loaded, redis, store, Replica("gateway", loaded, redis))
    jobs = Jobs(loaded, store, redis, parts.follower)
    letters = Letters(loaded, store, redis, versions=jobs.versions, acceptance=jobs.acceptance)
    webhooks = JobWebhooks(jobs.lookup, Messages(redis, Keys()), store, loaded)
    app = create_app(parts, [jobs_router(jobs), webhooks_router(webhooks), dead_letters_router(letters, loaded)])
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        aclosing(redis),  # also where a test fails: what is left open is another test's error
        httpx.AsyncClient(transport=transport, base_url="http://gateway") as client,
    ):
        await parts.follower.reconcile()
        with closing(parts.predictor):
            yield Gateway(app, client, jobs)


async def ready_store(tmp_path: Path) -> Store:
    store = Store.open((tmp_path / "store").as_uri())
    await a_champion(store)
    return store


class HandScorer:
    """Predicts `count` of every row; a row whose `count` is in `poison` becomes a dead letter."""

    def __init__(self, redis: Redis, store: Store) -> None:
        self.poison: frozenset[float] = frozenset()
        self._redis = redis
        self._store = store
        self._queue = JobQueue(redis, Keys())

    async def work(self, entries: int = 1000) -> int:
        """Do up to so many entries of the stream, finalisation included; returns how many there were."""
        chunks = self._queue.keys.chunks
        await ensure_group(self._redis, chunks, SCORERS_GROUP)
        for done in range(entries):
            found: Any = await self._redis.xreadgroup(SCORERS_GROUP, "hand", {chunks: ">"}, count=1)
            if not found:
                return done
            entry, fields = found[0][1][0]
            await self._do(Held("hand", entry, fields["job"], int(fields["chunk"])))
        return entries

    async def _do(self, held: Held) -> None:
        if (await self._queue.begin(held)).answer != "ok":
            return
        await (self._finalise(held) if held.chunk == FINALISE else self._score(held))

    async def _score(self, held: Held) -> None:
        spec = await read_spec(self._store, held.job)
        start, end = spec.input_offsets[held.chunk : held.chunk + 2]
        chunk = decode_chunk(await self._store.get_range(spec.input_key, start, end))
        count = chunk.x[:, await self._column(spec.model_version)]
        dead = [chunk.start + row for row, value in enumerate(count.tolist()) if value in self.poison]
        errors = [*chunk.errors, *(RowError(row, "", "poison", "it killed the engine") for row in dead)]
        data = encode_part(chunk.start, count, errors, chunk.carried)
        key = job_path(held.job, f"parts/{held.chunk}.arrow")
        await self._store.put(key, data)
        letters = tuple(DeadLetter(job_id=held.job, row=r, chunk=held.chunk, reason="killed", deaths=2) for r in dead)
        part = Part(key=key, sha256=sha256(data), rows=chunk.rows, failed=len(errors), dead_letters=letters)
        answer, _ = await self._queue.commit(held, part, window=target_window(1))
        assert answer == "ok"

    async def _finalise(self, held: Held) -> None:
        status = await self._queue.status(held.job)
        assert status is not None
        parts = prefix(await self._queue.parts(held.job))
        status = status.model_copy(update={"state": "completed"})
        await write_manifest(self._store, JobRecord(status=status, model_digest="", parts=parts))
        assert await self._queue.finish(held, status) == "ok"

    async def _column(self, version: str) -> int:
        signature = (await self._store.get(f"models/model/{version}/signature.json")).decode()
        names = [feature["name"] for feature in json.loads(signature)["features"]]
        return names.index("count")


def expected(rows: int, first: int = 0) -> list[dict[str, Any]]:
    return [{"index": i, "prediction": float(i)} for i in np.arange(first, rows).tolist()]
