"""The monitor as a process, on a real server: what it counts is exact whatever dies, and it heals by itself."""

import asyncio
import io
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from services.monitor.__main__ import build
from services.monitor.routes import create_app
from services.monitor.settings import MonitorSettings
from shared import artifact
from shared.events import ChunkScored, Event, JobFinished, PredictionsLogged
from shared.keys import LOG_GROUP, STATS_GROUP, Keys
from shared.profile import Profile, summarise
from shared.replica import live_replicas
from shared.signature import Signature
from shared.store import Store
from shared.webhooks.messages import Messages
from tests.artifacts import a_champion
from tests.processes import ServiceProcess
from tests.redis_server import RedisServer
from tests.unit.monitor.builders import Rows, a_chunk, an_event
from tests.waiting import eventually

LOGGED = PredictionsLogged.stream


@dataclass
class Monitors:
    """Starts monitors over one state directory, sends them events, and asks what they made of them."""

    directory: Path
    server: RedisServer
    redis: Redis
    store: Store
    signature: Signature
    profile: Profile
    keys: Keys

    def settings(self, **settings: object) -> dict[str, object]:
        values: dict[str, object] = {
            "redis_url": self.server.url,
            "state_dir": self.directory / "state",
            "model_name": "model",
            "monitor_port": 0,
            "monitor_log_seconds": 0.3,
            "monitor_reclaim_seconds": 1.5,
            "presence_seconds": 2,
        }
        return values | settings

    @asynccontextmanager
    async def running(self, **settings: object) -> AsyncIterator[httpx.AsyncClient]:
        """Run a monitor in this process, with everything real but its socket."""
        app = create_app(build(MonitorSettings.load(**self.settings(**settings))))
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://monitor", timeout=20) as client,
        ):
            await eventually(lambda: _ready(client))
            yield client

    def start(self, **settings: object) -> ServiceProcess:
        """Start a monitor as its own process, to be killed or stopped."""
        return ServiceProcess("monitor", self.directory, **self.settings(**settings)).start()

    @asynccontextmanager
    async def client(self, process: ServiceProcess) -> AsyncIterator[httpx.AsyncClient]:
        async with httpx.AsyncClient(base_url=await self.address(process), timeout=20) as client:
            yield client

    async def address(self, process: ServiceProcess) -> str:
        async def found() -> str | None:
            replicas = await live_replicas(self.redis, self.keys, ["monitor"])
            return next((r.address for r in replicas if r.pid == process.pid and r.state == "ready"), None)

        return str(await eventually(found))

    async def send(self, *events: Event) -> None:
        for event in events:
            await self.redis.xadd(self.keys.stream(event.stream), event.entry())  # type: ignore[arg-type]

    def rows(self, n: int, *, seed: int = 0, shift: float = 0.0) -> tuple[Rows, Rows]:
        """Draw encoded rows in the shape of the reference; `shift` moves the first number, in standard deviations."""
        rng = np.random.default_rng(seed)
        columns = []
        for feature, column in zip(self.signature.features, self.profile.features, strict=True):
            if feature.kind == "categorical":
                columns.append(rng.integers(-1, len(feature.categories), n).astype(float))
            else:
                moved = shift if feature.name == "length" else 0.0
                std = column.std or 1.0
                columns.append(rng.normal(column.mean or 0.0, std, n) + moved * std)
        return np.column_stack(columns), rng.normal(30, 5, n)

    def event(self, n: int, first: int, sequence: int, **fields: Any) -> PredictionsLogged:
        """An event of n rows after `first` others of the same gateway."""
        x, predictions = self.rows(n, seed=sequence, shift=fields.pop("shift", 0.0))
        return an_event(
            x, predictions.tolist(), first=first, **{"sequence": sequence, "answered_before": first, **fields}
        )

    def chunk(self, number: int, n: int, **fields: Any) -> ChunkScored:
        return a_chunk(self.profile, *self.rows(n, seed=number), **{"chunk": number, **fields})

    async def logged(self) -> pa.Table:
        tables = [
            pq.read_table(io.BytesIO(await self.store.get(key)))
            async for key in self.store.list("log")
            if key.endswith(".parquet")
        ]
        return pa.concat_tables(tables) if tables else pa.table({"request_id": pa.array([], pa.string())})

    async def settled(self) -> bool:
        """Whether every entry is acknowledged by every group, and deleted."""
        lengths = []
        for kind, groups in {LOGGED: [STATS_GROUP, LOG_GROUP], ChunkScored.stream: [STATS_GROUP]}.items():
            stream = self.keys.stream(kind)
            found = {group["name"]: group for group in await self.redis.xinfo_groups(stream)}
            assert set(groups) <= set(found)
            assert all(found[name]["pending"] == 0 and not found[name]["lag"] for name in groups), found
            lengths.append(await self.redis.xlen(stream))
        return max(lengths) <= 1


@pytest.fixture
async def monitors(tmp_path: Path, redis_server: RedisServer, keys: Keys) -> AsyncIterator[Monitors]:
    store = Store.open((tmp_path / "state" / "store").as_uri())
    champion = await a_champion(store)
    found = await artifact.fetch(store, "model", champion.version)
    redis = Redis.from_url(redis_server.url, decode_responses=True)
    yield Monitors(tmp_path, redis_server, redis, store, found.signature, found.profile, keys)
    await redis.aclose()


async def _ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/health/ready")).status_code == 200


async def get(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def total(client: httpx.AsyncClient) -> int:
    return int((await get(client, "/stats"))["lifetime"]["all"]["total_predictions"])


@pytest.mark.delivery
async def test_figures_survive_a_monitor_that_is_killed_in_the_middle(monitors: Monitors) -> None:
    size, count = 250, 80
    chunks = [monitors.chunk(number, 100) for number in range(50)]

    async def produce() -> None:
        for number in range(count):
            await monitors.send(monitors.event(size, size * number, number + 1))
            await monitors.send(*chunks[number : number + 1])

    with monitors.start() as first:
        await monitors.address(first)
        producing = asyncio.create_task(produce())

        async def half_way() -> bool:
            return int(await monitors.redis.hget(monitors.keys.received, "gateway-1|rows") or 0) >= size * count / 4

        await eventually(half_way)
        first.kill()
        await producing

    with monitors.start() as second:
        async with monitors.client(second) as client:
            await eventually(monitors.settled)
            stats = await get(client, "/stats")
    everything = stats["lifetime"]["all"]
    assert everything["by_mode"] == {"single": size * count, "batch": 0, "job": 50 * 100}
    assert (stats["received"], stats["dropped"][LOGGED]) == (size * count, 0)
    assert stats["windows"]["1h"]["all"]["total_predictions"] == size * count + 50 * 100
    ids = Counter((await monitors.logged())["request_id"].to_pylist())
    assert set(ids) == {f"r{i}" for i in range(size * count)}  # at least once


async def test_a_restart_forgets_nothing_and_a_stop_writes_the_log(monitors: Monitors) -> None:
    with monitors.start(monitor_log_seconds=600) as first:
        async with monitors.client(first) as client:
            await monitors.send(monitors.event(300, 0, 1), monitors.chunk(0, 50))
            await eventually(lambda: _equals(client, 350))
            before = await get(client, "/drift")
        assert first.stop() == 0
    assert (await monitors.logged()).num_rows == 300
    with monitors.start() as second:
        async with monitors.client(second) as client:
            assert await total(client) == 350
            after = await get(client, "/drift")
    assert after["features"] == before["features"]
    assert after["prediction"] == before["prediction"]


async def test_the_log_equals_what_was_sent(monitors: Monitors) -> None:
    event = monitors.event(50, 0, 1, mode=["batch"] * 50, index=list(range(50)), request_id=["r"] * 50)
    async with monitors.running():
        await monitors.send(event)

        async def written() -> pa.Table | None:
            table = await monitors.logged()
            return table if len(table) else None

        table = await eventually(written)
    assert table is not None
    rows = table.sort_by("index").to_pylist()
    expected = []
    for i in range(50):
        decoded = monitors.signature.decode([column[i] for column in event.features])  # type: ignore[misc]
        unknown = {f.name: "<unknown>" for j, f in enumerate(monitors.signature.features) if event.features[j][i] == -1}
        expected.append(
            {
                "request_id": "r",
                "index": i,
                "mode": "batch",
                "model_version": "1",
                "prediction": event.prediction[i],
                "latency": event.latency[i],
                **decoded,
                **unknown,
            }
        )
    assert [row.pop("time").timestamp() for row in rows] == pytest.approx(event.time, abs=1e-6)
    assert rows == expected


@pytest.mark.delivery
async def test_a_duplicate_counts_once_a_gap_counts_as_dropped_and_rubbish_blocks_nothing(monitors: Monitors) -> None:
    logged = monitors.keys.stream(LOGGED)
    rubbish: list[dict[bytes | str, bytes | str]] = [
        {b"__data__": b"\xff\xfe not utf-8"},
        {"__data__": "{}"},
        {"something": "else"},
        {"__data__": "[" * 10_000},
        monitors.event(3, 0, 9, model_name="../../etc").entry(),  # type: ignore[list-item]
        monitors.event(3, 0, 9, latency=[0.1]).entry(),  # type: ignore[list-item]
        monitors.event(3, 0, 9, features=[[1.0] * 3]).entry(),  # type: ignore[list-item]
    ]
    await monitors.send(monitors.event(10, 0, 1))
    for fields in rubbish:
        await monitors.redis.xadd(logged, fields)  # type: ignore[arg-type]
    await monitors.send(monitors.event(10, 0, 1), monitors.event(5, 25, 3))  # a repeated one, and 15 rows missed
    await monitors.send(monitors.chunk(0, 7), monitors.chunk(0, 7), monitors.chunk(1, 7))
    await monitors.send(JobFinished(job_id="job-1", state="completed", rows=14, failed=0))

    async with monitors.running(monitor_reclaim_seconds=600) as client:
        await eventually(monitors.settled)
        await eventually(lambda: _equals(client, 10 + 5 + 7 + 7))
        await eventually(lambda: _finished(client, 1))
        stats = await get(client, "/stats")
        assert stats["lifetime"]["all"]["by_mode"] == {"single": 15, "batch": 0, "job": 14}
        assert (stats["received"], stats["dropped"][LOGGED]) == (15, 15)
        assert stats["invalid_events"] == len(rubbish)
        assert stats["finished_jobs"]["completed"] == 1
        metrics = (await client.get("/metrics")).text
    assert 'tasador_monitor_events_total{outcome="duplicate",stream="predictions.logged.v1"} 1.0' in metrics
    assert 'tasador_monitor_events_total{outcome="invalid",stream="predictions.logged.v1"} 7.0' in metrics


async def test_failures_are_rates_of_version_and_mode_also_where_nothing_was_answered(monitors: Monitors) -> None:
    nothing: dict[str, Any] = {key: [] for key in ("request_id", "index", "mode", "time", "latency", "prediction")}
    nothing |= {"rows": 0, "features": []}
    await monitors.send(monitors.event(30, 0, 1, failed={"single": 10, "batch": 5}))
    await monitors.send(monitors.event(3, 40, 2, failed={"batch": 4}, **nothing))  # and ten rows were dropped
    await monitors.send(monitors.chunk(0, 60, rows=80, failed=20))
    async with monitors.running() as client:
        await eventually(monitors.settled)
        stats = await get(client, "/stats")
        found = stats["windows"]["1h"]["by_version"]["1"]
        assert found["failed_by_mode"] == {"single": 10, "batch": 9, "job": 20}
        assert found["error_rate_by_mode"] == {"single": 0.25, "batch": 1.0, "job": 0.25}
        assert found["error_rate"] == pytest.approx(39 / 129)
        assert (stats["received"], stats["dropped"][LOGGED], stats["invalid_events"]) == (30, 10, 0)
        assert (await monitors.logged()).num_rows == 30
        text = (await client.get("/metrics")).text
    assert 'tasador_monitor_failed_rows_total{mode="batch",version="1"} 9.0' in text
    assert 'tasador_monitor_event_lag_seconds_count{stream="predictions.logged.v1"} 1.0' in text
    assert 'tasador_monitor_event_lag_seconds_count{stream="chunk.scored.v1"} 1.0' in text


async def test_the_backlog_is_shown_in_seconds_at_the_pace_of_late(monitors: Monitors) -> None:
    async with monitors.running() as client:

        async def shown() -> tuple[float | None, str]:
            found = (await get(client, "/stats"))["flow"]["backlog_seconds"]
            name = "tasador_monitor_backlog_seconds "
            lines = (await client.get("/metrics")).text.splitlines()
            return found, next(line.removeprefix(name) for line in lines if line.startswith(name))

        assert await shown() == (0.0, "0.0")
        await monitors.redis.set(monitors.keys.backlog, 6000)
        assert await shown() == (None, "+Inf")
        await monitors.send(monitors.chunk(0, 300, rows=600, failed=300))
        await eventually(lambda: _equals(client, 300))
        seconds, text = await shown()
        assert seconds is not None
        assert 3000 <= seconds < 3600 + 60  # a tenth was finished in the five minutes, and the one that is filling
        assert 3000 <= float(text) < 3600 + 60  # perhaps another minute has begun


@pytest.mark.delivery
async def test_it_heals_after_the_server_lost_everything(monitors: Monitors) -> None:
    async with monitors.running() as client:
        await monitors.send(monitors.event(10, 0, 1))
        await eventually(lambda: _equals(client, 10))
        monitors.server.flush()
        await monitors.send(monitors.event(10, 10, 2))
        await eventually(lambda: _equals(client, 10))
        stats = await get(client, "/stats")
        assert stats["dropped"][LOGGED] == 10  # answered, and in no figure any more
        await eventually(monitors.settled)


async def test_a_store_that_cannot_be_written_stops_neither_counting_nor_healing(monitors: Monitors) -> None:
    in_the_way = monitors.directory / "state" / "store" / "log"
    in_the_way.write_text("a file where the directory should be")
    async with monitors.running(monitor_log_buffer_rows=15, monitor_reclaim_seconds=0.3) as client:
        await monitors.send(*(monitors.event(10, 10 * n, n + 1) for n in range(4)))
        await eventually(lambda: _equals(client, 40))
        await eventually(lambda: _taken_over(monitors))
        monitors.server.flush()
        await monitors.send(*(monitors.event(10, 10 * n, n + 1) for n in range(4, 8)))
        await eventually(lambda: _equals(client, 40))
        assert (await get(client, "/stats"))["dropped"][LOGGED] == 40
        in_the_way.unlink()
        await eventually(monitors.settled)
    ids = Counter((await monitors.logged())["request_id"].to_pylist())
    assert set(ids) >= {f"r{i}" for i in range(40, 80)}
    assert set(ids.values()) == {1}


@pytest.mark.delivery
async def test_it_serves_what_it_can_while_redis_is_away_and_goes_on_when_it_is_back(monitors: Monitors) -> None:
    x = np.random.default_rng(1).permutation(_matrix(await _reference(monitors)))  # nothing drifts
    async with monitors.running() as client:
        await monitors.send(an_event(x[:10], [30.0] * 10))
        await eventually(lambda: _equals(client, 10))
        assert (await get(client, "/health"))["status"] == "healthy"

        monitors.server.kill()
        health = await get(client, "/health")
        assert (health["status"], health["redis"], health["model_version"]) == ("degraded", False, "1")
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get("/health/ready")).status_code == 200
        refused = await client.get("/stats")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert refused.json()["type"] == "/problems/redis-unavailable"
        assert "tasador_monitor_redis_up 0.0" in (await client.get("/metrics")).text

        monitors.server.start()
        await monitors.redis.connection_pool.disconnect()  # the test's own, cut with the server
        await monitors.send(an_event(x[10:20], [30.0] * 10, first=10, sequence=2, answered_before=10))
        await eventually(lambda: _equals(client, 20))

        async def healthy() -> bool:
            return bool((await get(client, "/health"))["status"] == "healthy")

        await eventually(healthy)


async def test_it_starts_without_redis(monitors: Monitors) -> None:
    monitors.server.kill()
    with monitors.start() as process:

        async def announced_in_its_log() -> str | None:
            lines = process.log.read_text().splitlines()
            return next((line for line in lines if "listening" in line), None)

        await eventually(announced_in_its_log)
        monitors.server.start()
        await monitors.redis.connection_pool.disconnect()
        await monitors.send(monitors.event(10, 0, 1))
        async with monitors.client(process) as client:
            await eventually(lambda: _equals(client, 10))


@pytest.mark.delivery
async def test_two_monitors_side_by_side_count_everything_once(monitors: Monitors) -> None:
    async with monitors.running(replica_id="one") as client, monitors.running(replica_id="other") as second:
        for number in range(60):
            await monitors.send(monitors.event(20, 20 * number, number + 1))
        await eventually(monitors.settled)
        assert await total(client) == await total(second) == 1200
        stats = await get(second, "/stats")
        assert (stats["received"], stats["dropped"][LOGGED]) == (1200, 0)
    ids = (await monitors.logged())["request_id"].to_pylist()
    assert set(ids) == {f"r{i}" for i in range(1200)}


async def test_rows_of_a_version_without_artifact_wait_and_are_then_counted_without_features(
    monitors: Monitors,
) -> None:
    async with monitors.running(monitor_unknown_seconds=8) as client:
        await monitors.send(monitors.event(10, 0, 1, model_version="77"), monitors.event(5, 10, 2))
        await eventually(lambda: _equals(client, 5))  # the one behind it does not wait
        await eventually(lambda: _equals(client, 15))
        by_version = (await get(client, "/stats"))["lifetime"]["by_version"]
        assert by_version["77"]["total_predictions"] == 10
        assert by_version["77"]["avg_prediction"] is None
        await eventually(monitors.settled)


async def test_drift_names_the_shifted_feature_and_no_other(monitors: Monitors) -> None:
    x, _ = monitors.rows(2000, seed=5, shift=4.0)
    # The other columns are the reference's own rows: no drift but the one that is meant.
    reference = _matrix(await _reference(monitors))
    x = np.column_stack(
        [x[:, i] if f.name == "length" else np.resize(reference[:, i], 2000) for i, f in _features(monitors)]
    )
    async with monitors.running(monitor_evaluate_seconds=0.2) as client:
        await monitors.send(an_event(x, [30.0] * 2000))
        await eventually(lambda: _equals(client, 2000))
        report = await get(client, "/drift")
        assert report["n"] == 2000
        assert report["features"]["length"]["drifted"]
        assert report["features"]["length"]["mean_shift"] == pytest.approx(4.0, abs=0.3)
        assert [name for name, column in report["features"].items() if column["drifted"]] == ["length"]
        summary = summarise(monitors.profile, x, np.full(2000, 30.0))
        assert summary["n"] == report["n"]
        for window in ("5m", "1h", "24h", "120"):
            assert (await get(client, f"/drift?window={window}"))["n"] == 2000
        for nonsense in ("5x", "-1", "0", "nan", "", "99d"):
            refused = await client.get("/drift", params={"window": nonsense})
            assert refused.status_code == 422, nonsense
            assert refused.headers["content-type"] == "application/problem+json"
            assert refused.json()["errors"][0]["pointer"] == "#/query/window"
        await eventually(lambda: _warns_of(client, "drift of length"))
        await _check_webhooks_wait(monitors, client)
        await _check_metrics(client)
        page = (await client.get("/docs")).text
        assert "https://" not in page


async def test_without_a_champion_drift_says_so_and_the_rest_works(monitors: Monitors) -> None:
    async with monitors.running(model_name="another") as client:
        assert (await client.get("/drift")).json()["type"] == "/problems/no-model"
        assert (await get(client, "/stats"))["model_version"] is None
        assert (await client.get("/metrics")).status_code == 200
        assert (await client.get("/nowhere")).json()["type"] == "/problems/not-found"


async def _equals(client: httpx.AsyncClient, expected: int) -> bool:
    found = await total(client)
    assert found == expected
    return True


async def _finished(client: httpx.AsyncClient, jobs: int) -> bool:
    return bool((await get(client, "/stats"))["finished_jobs"].get("completed") == jobs)


async def _taken_over(monitors: Monitors) -> bool:
    """Whether reclaim has had its turn with entries that the log cannot finish."""
    waiting: Any = await monitors.redis.xpending_range(monitors.keys.stream(LOGGED), LOG_GROUP, "-", "+", 10)
    return bool(waiting) and all(entry["times_delivered"] > 1 for entry in waiting)


def _features(monitors: Monitors) -> list[tuple[int, Any]]:
    return list(enumerate(monitors.signature.features))


async def _reference(monitors: Monitors) -> list[list[float | None]]:
    """Rows with the shares of the reference: a value per bin, as often as it was counted."""
    columns = []
    for column in monitors.profile.features:
        edges = [*column.edges, (column.edges[-1] + (column.std or 1.0)) if column.edges else 0.0]
        values = edges if column.kind == "numeric" else [*range(len(column.counts) - 1), -1.0]
        drawn: list[float | None] = [v for v, n in zip(values, column.counts, strict=True) for _ in range(n)]
        columns.append(drawn + [None] * column.nulls)
    return [list(row) for row in zip(*columns, strict=True)]


def _matrix(rows: list[list[float | None]]) -> Rows:
    return np.array([[np.nan if v is None else v for v in row] for row in rows])


async def _warns_of(client: httpx.AsyncClient, what: str) -> bool:
    health = await get(client, "/health")
    return health["status"] == "warning" and any(what in warning for warning in health["warnings"])


async def _check_webhooks_wait(monitors: Monitors, client: httpx.AsyncClient) -> None:
    """Without a secret: somebody should look."""
    await Messages(monitors.redis, monitors.keys).enqueue("m1", "https://example.org/", "{}")

    async def warned() -> bool:
        return "TASADOR_WEBHOOK_SECRETS" in str((await get(client, "/health"))["warnings"])

    await eventually(warned)


async def _check_metrics(client: httpx.AsyncClient) -> None:
    families = {f.name: f for f in text_string_to_metric_families((await client.get("/metrics")).text)}
    drifted = {s.labels["feature"]: s.value for s in families["tasador_monitor_drifted"].samples}
    assert drifted["length"] == 1.0
    buckets = [
        s.value
        for s in families["tasador_monitor_inference_seconds"].samples
        if s.name.endswith("_bucket") and s.labels["mode"] == "single"
    ]
    assert buckets == sorted(buckets)
    assert buckets[-1] == 2000
    (used,) = families["tasador_monitor_redis_memory_used_bytes"].samples
    (most,) = families["tasador_monitor_redis_memory_max_bytes"].samples
    assert 0 < used.value < most.value == 256 * 2**20
    assert {"tasador_monitor_lag_seconds", "tasador_monitor_backlog_rows", "tasador_monitor_dead_letters"} <= set(
        families
    )
