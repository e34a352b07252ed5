"""The gateway as the process that the launcher starts."""

import asyncio
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from shared.events import PredictionsLogged
from shared.keys import Keys
from shared.replica import ReplicaInfo, live_replicas
from shared.settings import ROOT
from shared.store import Store
from tests.artifacts import a_champion
from tests.integration.gateway import MODEL
from tests.integration.test_gateway_http import ROW
from tests.ports import free_port
from tests.processes import ServiceProcess, resident_megabytes
from tests.redis_server import RedisServer
from tests.waiting import eventually

FORBIDDEN = ("sklearn", "pandas", "mlflow", "scipy", "matplotlib", "pyarrow", "onnx", "faststream")


def a_process(directory: Path, redis_url: str, store: Store, **settings: object) -> ServiceProcess:
    defaults = {"redis_url": redis_url, "store_url": store.url, "model_name": MODEL, "state_dir": directory}
    return ServiceProcess("gateway", directory, **(defaults | {"gateway_port": 0} | settings))


async def announced(redis: Redis, within: float = 60, pid: int | None = None) -> ReplicaInfo:
    """Wait until a gateway with a model, any or that of a process, has said that it lives."""

    async def found() -> ReplicaInfo | None:
        replicas = await live_replicas(redis, Keys(), ("gateway",))
        return next((replica for replica in replicas if replica.version and pid in (None, replica.pid)), None)

    replica = await eventually(found, within=within)
    assert replica is not None
    return replica


async def test_it_announces_itself_predicts_and_ends_in_order(
    tmp_path: Path, redis_url: str, redis: Redis, store: Store
) -> None:
    await a_champion(store)
    with a_process(tmp_path, redis_url, store, gateway_telemetry_seconds=60) as process:  # sent at the end only
        replica = await announced(redis)
        assert resident_megabytes(process.pid) < 160
        async with httpx.AsyncClient(base_url=replica.address) as client:
            for _ in range(20):
                answer = await client.post("/predict", json=ROW)
                assert answer.status_code == 200
            assert process.stop() == 0
    entries: Any = await redis.xrange(Keys().stream(PredictionsLogged.stream))
    assert sum(PredictionsLogged.of_entry(fields).rows for _, fields in entries) == 20
    assert await live_replicas(redis, Keys(), ("gateway",)) == []


async def test_requests_in_flight_are_finished_on_sigterm(
    tmp_path: Path, redis_url: str, redis: Redis, store: Store
) -> None:
    await a_champion(store)
    body = json.dumps(ROW).encode()
    with a_process(tmp_path, redis_url, store) as process:
        address = httpx.URL((await announced(redis)).address)
        reader, writer = await asyncio.open_connection(address.host, address.port)
        head = f"POST /predict HTTP/1.1\r\nHost: gateway\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body[:10])
        await writer.drain()

        async def arrived() -> bool:
            async with httpx.AsyncClient() as client:
                return "in_flight 2.0" in (await client.get(address.join("/metrics"))).text

        await eventually(arrived)
        ended = asyncio.create_task(asyncio.to_thread(process.stop))

        async def refuses() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex((address.host, address.port)) != 0

        await eventually(refuses)
        writer.write(body[10:])
        answer = await reader.read()
        writer.close()
        assert await ended == 0
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b'"prediction"' in answer


async def test_a_client_that_goes_away_is_nobodys_error(
    tmp_path: Path, redis_url: str, redis: Redis, store: Store
) -> None:
    await a_champion(store)
    with a_process(tmp_path, redis_url, store) as process:
        address = httpx.URL((await announced(redis)).address)
        _, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"POST /predict HTTP/1.1\r\nHost: gateway\r\nContent-Length: 100\r\n\r\n{")
        await writer.drain()
        writer.close()

        async def counted() -> bool:
            async with httpx.AsyncClient() as client:
                metrics = (await client.get(address.join("/metrics"))).text
            return 'requests_total{code="499",method="POST",route="/predict"} 1.0' in metrics

        await eventually(counted)
        assert process.stop() == 0
    assert "Traceback" not in process.log.read_text()


async def test_it_serves_without_redis_and_heals_when_redis_comes(
    tmp_path: Path, redis_server: RedisServer, store: Store
) -> None:
    await a_champion(store)
    redis_server.kill()
    port = free_port()
    with a_process(tmp_path, redis_server.url, store, gateway_port=port) as process:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:

            async def predicts() -> bool:
                try:
                    return (await client.post("/predict", json=ROW)).status_code == 200
                except httpx.TransportError:
                    return False

            await eventually(predicts)
            assert (await client.post("/admin/retrain")).status_code == 503
            redis_server.start()

            async def accepts() -> bool:
                return (await client.post("/admin/retrain")).status_code == 202

            await eventually(accepts)
            redis_server.pause()  # it does not answer, and the end must not wait for it
        assert process.stop(timeout=15) == 0
        redis_server.resume()


async def test_a_port_in_use_is_said_and_not_waited_for(tmp_path: Path, redis_url: str, store: Store) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with a_process(tmp_path, redis_url, store, gateway_port=port) as process:
            assert process.wait() == 2
    assert process.log.read_text().startswith(f"gateway: cannot listen on 127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"gateway_prot": 1}, "TASADOR_GATEWAY_PROT"), ({"gateway_port": "x"}, "TASADOR_GATEWAY_PORT")],
)
async def test_a_wrong_setting_is_named(
    tmp_path: Path, redis_url: str, store: Store, settings: dict[str, object], says: str
) -> None:
    with a_process(tmp_path, redis_url, store, **settings) as process:
        assert process.wait() == 2
    assert process.log.read_text().startswith(f"gateway: {says}")


def test_the_import_budget_holds() -> None:
    code = f"import sys, services.gateway.__main__; print(*[m for m in {FORBIDDEN} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
