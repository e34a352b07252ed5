"""The fast path on a uvicorn that is not what it was."""

import shutil
from pathlib import Path

import httpx
import pytest
import uvicorn
from redis.asyncio import Redis

from shared.store import Store
from tests.artifacts import a_champion
from tests.integration.test_gateway_http import ROW
from tests.integration.test_gateway_process import a_process, announced
from tests.logs import lines


def rename(package: Path, name: str, other: str) -> None:
    for file in package.rglob("*.py"):
        file.write_text(file.read_text().replace(name, other))


async def test_it_is_left_out_where_uvicorn_has_changed_inside(
    tmp_path: Path, redis_url: str, redis: Redis, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await a_champion(store)
    package = shutil.copytree(Path(uvicorn.__file__).parent, tmp_path / "packages" / "uvicorn")
    rename(package, "write_paused", "writing_paused")
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    with a_process(tmp_path, redis_url, store, gateway_fast_path=True, log_format="json") as process:
        async with httpx.AsyncClient(base_url=(await announced(redis)).address) as client:
            answer = await client.post("/predict", json=ROW)
            health = (await client.get("/health")).json()
    assert answer.status_code == 200
    (told,) = lines(process.log, event="the fast path does not work with this uvicorn")
    assert told["reason"]
    assert "fast_path_off" in [warning["code"] for warning in health["warnings"]]
