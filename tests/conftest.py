"""Fixtures that several suites share: a real server, a store on disk, settings that touch nothing else."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from redis.asyncio import Redis

from shared.keys import Keys
from shared.scripts import JobQueue
from shared.store import Store
from tests.containers import PUBLIC_IMAGES, RedisContainer
from tests.redis_server import RedisServer
from tests.valkey import ValkeyServer

EMBEDDED = "embedded"
MINUTES = (
    "test_mlflow_server",
    "test_trainer_process",
    "test_boston",
    "test_loop",
    "test_chaos",
    "test_stack",
    "test_cli",
)

# That a machine is busy is nobody's bug.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own TASADOR_… variables must not decide whether a test passes."""
    for name in os.environ:
        if name.startswith("TASADOR_"):
            monkeypatch.delenv(name)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take minutes: a file's tests stay together, and the last one would be waited for."""
    items.sort(key=lambda item: item.path.stem not in MINUTES)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of delivery on the public images, too."""
    if metafunc.definition.get_closest_marker("delivery") and "server_kind" in metafunc.fixturenames:
        images = [pytest.param(image, marks=pytest.mark.docker) for image in PUBLIC_IMAGES]
        metafunc.parametrize("server_kind", [EMBEDDED, *images], indirect=True)


@pytest.fixture
def server_kind(request: pytest.FixtureRequest) -> str:
    """The embedded Valkey, or an image."""
    kind: str = getattr(request, "param", EMBEDDED)
    return kind


@pytest.fixture(scope="session")
def _shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], RedisServer]]:
    """One server of each kind, started when it is first asked for."""
    with ExitStack() as servers:
        yield cache(lambda kind: servers.enter_context(_a_server(kind, tmp_path_factory.mktemp("redis"))))


@pytest.fixture
def redis_server(server_kind: str, tmp_path: Path) -> Iterator[RedisServer]:
    """A server of the test's own, to be killed, paused and flushed as it likes."""
    with _a_server(server_kind, tmp_path / "redis") as server:
        yield server


@pytest.fixture
def redis_url(request: pytest.FixtureRequest, server_kind: str, _shared_server: Callable[[str], RedisServer]) -> str:
    """An empty server: the test's own where it asks for one, else one that must be left running."""
    if "redis_server" in request.fixturenames:
        own: RedisServer = request.getfixturevalue("redis_server")
        return own.url
    shared = _shared_server(server_kind)
    shared.flush()
    return shared.url


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


def _a_server(kind: str, directory: Path) -> RedisServer:
    return ValkeyServer(directory) if kind == EMBEDDED else RedisContainer(kind)
