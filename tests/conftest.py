"""Fixtures that several suites share: a real Valkey, a store on disk, settings that touch nothing else."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from shared.keys import Keys
from shared.scripts import JobQueue
from shared.store import Store
from tests.valkey import ValkeyServer


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own TASADOR_… variables must not decide whether a test passes."""
    for name in os.environ:
        if name.startswith("TASADOR_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def _shared_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    with ValkeyServer(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A server of the test's own, to be killed, paused and flushed as it likes."""
    with ValkeyServer(tmp_path / "valkey") as server:
        yield server


@pytest.fixture
def redis_url(_shared_valkey: ValkeyServer) -> str:
    """An empty server that must be left running."""
    _shared_valkey.flush()
    return _shared_valkey.url


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url, decode_responses=True)
    yield client
    await client.aclose()


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
async def queue(redis: Redis, keys: Keys) -> JobQueue:
    return JobQueue(redis, keys)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open((tmp_path / "store").as_uri())
