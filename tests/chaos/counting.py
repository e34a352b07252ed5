"""Gateways, scorers and a monitor as processes; callers that count what they were answered, to hold figures against."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlparse

import httpx
import pandas as pd
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from shared.events import PredictionsLogged
from shared.keys import Keys
from shared.replica import live_replicas
from shared.store import Store
from tests.integration.raw_http import Address, Connection
from tests.pipelines import a_table
from tests.processes import ServiceProcess
from tests.waiting import NO_TLS, eventually, nothing_waits

LOGGED = PredictionsLogged.stream
BATCH = 500
"""Rows of a batch that can be answered."""
REFUSED = 5
"""Rows of it that cannot."""


def some_rows(n: int, seed: int = 0) -> list[dict[str, Any]]:
    records = a_table(n, seed=seed).to_dict("records")
    return [{str(name): None if pd.isna(value) else value for name, value in row.items()} for row in records]


def a_table_with_errors(rows: int, every: int) -> bytes:
    """Return NDJSON in which every so-manieth row lacks what it must have."""
    found = some_rows(rows)
    for row in found[::every]:
        del row["count"]
    return b"".join(json.dumps(row).encode() + b"\n" for row in found)


@dataclass
class Answered:
    """Rows that callers were answered, by mode and version; shared by threads."""

    rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused: int = 0
    """Rows of batches that got no prediction."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, mode: str, version: str, rows: int, refused: int = 0) -> None:
        with self.lock:
            self.rows[mode, version] += rows
            self.refused += refused

    @property
    def total(self) -> int:
        with self.lock:
            return self.rows.total()

    async def reach(self, rows: int) -> None:
        """Wait until so many were answered."""

        async def reached() -> bool:
            return self.total >= rows

        await eventually(reached)


class Caller:
    """Asks one gateway on a connection that it keeps, and counts the answers that came."""

    def __init__(self, url: str, answered: Answered, seed: int) -> None:
        found = urlparse(url)
        self._address = Address(found.hostname or "", found.port or 0)
        self._answered = answered
        rows = some_rows(BATCH + REFUSED, seed)
        self._singles = [self._request("/predict", row) for row in rows[:50]]
        for row in rows[:REFUSED]:
            del row["count"]
        self._batch = self._request("/predict/batch", {"instances": rows})

    def singles(self, count: int | None = None) -> None:
        """Ask for so many predictions; for ever without, until the gateway is gone."""
        with Connection(self._address) as connection:
            for n in range(count) if count is not None else _for_ever():
                answer = connection.ask(self._singles[n % len(self._singles)])
                assert answer.status == httpx.codes.OK, answer.body
                self._answered.add("single", answer.json()["model_version"], 1)

    def batches(self, count: int) -> None:
        with Connection(self._address) as connection:
            for _ in range(count):
                answer = connection.ask(self._batch)
                assert answer.status == httpx.codes.OK, answer.body
                said = answer.json()
                rows = sum(prediction is not None for prediction in said["predictions"])
                self._answered.add("batch", said["model_version"], rows, said["count"] - rows)

    def _request(self, path: str, document: object) -> bytes:
        body = json.dumps(document).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _for_ever() -> Iterator[int]:
    n = 0
    while True:
        yield n
        n += 1


class Site:
    """Processes over one state directory and one server."""

    def __init__(self, directory: Path, redis_url: str, redis: Redis, store: Store) -> None:
        self.redis = redis
        self.keys = Keys()
        self._directory = directory
        self._common = {
            "redis_url": redis_url,
            "store_url": store.url,
            "state_dir": directory,
            "model_name": "model",
            "poll_seconds": 0.1,
            "presence_seconds": 2,
        }
        self._processes = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._processes.__exit__(kind, error, trace)

    def start(self, service: str, **settings: object) -> ServiceProcess:
        process = ServiceProcess(service, self._directory, **(self._common | {f"{service}_port": 0} | settings))
        return self._processes.enter_context(process)

    def monitor(self) -> ServiceProcess:
        return self.start("monitor", monitor_reclaim_seconds=1, monitor_log_seconds=0.3)

    async def address(self, process: ServiceProcess) -> str:
        """Wait until a process has a model, or, a monitor, reads; return where it listens."""

        async def found() -> str | None:
            replicas = await live_replicas(self.redis, self.keys, [process.service])
            ours = (replica for replica in replicas if replica.pid == process.pid)
            ready = (r for r in ours if (r.state == "ready" if r.service == "monitor" else r.version))
            return next((r.address for r in ready), None)

        return str(await eventually(found))

    async def sent(self, url: str) -> dict[str, int]:
        """Wait until a gateway has nothing left to send, and return what it says of telemetry, by its own counters."""
        said: dict[str, int] = {}

        async def all_is_sent() -> bool:
            found = await samples(url, "tasador_gateway_telemetry_")
            said.update({name.removesuffix("_rows_total"): int(value) for (name, *_), value in found.items()})
            return said["waiting_rows"] == 0

        await eventually(all_is_sent)
        return said

    async def settled(self, monitor: str) -> dict[str, Any]:
        """Wait until the monitor has counted and logged all there is, and return its figures."""

        async def is_settled() -> bool:
            return nothing_waits(await get(monitor, "/stats"))

        await eventually(is_settled)
        return await get(monitor, "/stats")


async def get(url: str, path: str) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=90) as client:
        found: dict[str, Any] = (await client.get(path)).raise_for_status().json()
        return found


async def samples(url: str, prefix: str) -> dict[tuple[str, ...], float]:
    """Return the samples whose names begin so, by the rest of the name, if any, and the values of the labels."""
    async with httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=20) as client:
        text = (await client.get("/metrics", headers={"accept": "text/plain"})).raise_for_status().text
    return {
        (*filter(None, [s.name.removeprefix(prefix)]), *s.labels.values()): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
        if s.name.startswith(prefix) and not s.name.endswith("_created")
    }


async def all_of(*work: tuple[Any, ...]) -> None:
    """Run each (function, argument, …) in a thread."""
    await asyncio.gather(*(asyncio.to_thread(*each) for each in work))
