"""What the trainer says of its health."""

from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from services.trainer.metrics import Metrics
from services.trainer.routes import create_app
from services.trainer.settings import TrainerSettings
from shared.replica import Replica


@pytest.mark.parametrize(
    ("state", "redis_up", "health", "ready"),
    [
        ("ready", True, "healthy", 200),
        ("training", True, "healthy", 200),
        ("standby", True, "healthy", 503),
        ("starting", True, "degraded", 503),
        ("ready", False, "degraded", 503),
    ],
)
async def test_health_is_answered_and_ready_takes_commands(
    tmp_path: Path, state: str, redis_up: bool, health: str, ready: int
) -> None:
    replica = Replica("trainer", TrainerSettings(state_dir=tmp_path), Redis())  # nothing connects
    replica.state, replica.redis_up, replica.detail = state, redis_up, "why"
    metrics = Metrics()
    metrics.show(replica)
    transport = httpx.ASGITransport(create_app(replica, metrics.registry))
    async with httpx.AsyncClient(transport=transport, base_url="http://trainer") as client:
        answer = await client.get("/health")
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get("/health/ready")).status_code == ready
        exposition = (await client.get("/metrics/")).text
    assert f"\ntasador_trainer_ready {float(ready == 200)}\n" in exposition
    assert f"\ntasador_trainer_redis_up {float(redis_up)}\n" in exposition
    assert answer.status_code == 200
    assert answer.json() == {"status": health, "state": state, "detail": "why", "error": None}
