"""The servers that tests of delivery stand on: they are what was asked for, and do what the tests take them to do."""

import asyncio
import os
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from shared.settings import ROOT
from tests.containers import PUBLIC_IMAGES, RedisContainer, require_engine
from tests.redis_server import DURABLE, RedisServer
from tests.waiting import eventually

ABANDON = """
import sys, time
from tests.containers import RedisContainer
with RedisContainer(sys.argv[1]) as server:
    print(server.port, flush=True)
    time.sleep(600)
"""
VERSIONS = {"embedded": "valkey 9.1.", "redis:7-alpine": "redis 7.", "valkey/valkey:8-alpine": "valkey 8."}


@contextmanager
def a_client(url: str, patience: float = 20) -> Iterator[Redis]:
    once = Retry(NoBackoff(), 0)
    with closing(Redis.from_url(url, decode_responses=True, socket_timeout=patience, retry=once)) as client:
        yield client


def version(redis: Redis) -> str:
    about = redis.info("server")
    software = about.get("server_name", "redis")  # Valkey alone has a name
    return f"{software} {about[f'{software}_version']}"


def test_delivery_is_collected_for_every_image() -> None:
    """Else `make test-docker` would be green because it tests nothing."""
    collect = ["--collect-only", "--quiet", "-m", "docker", "tests/integration/test_protocol.py"]
    found = subprocess.run(
        [sys.executable, "-m", "pytest", *collect], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    ).stdout
    first, *others = (found.count(image) for image in PUBLIC_IMAGES)
    assert first > 40
    assert others == [first]


def assert_is(kind: str, url: str) -> None:
    """Of the right software, and durable."""
    with a_client(url) as redis:
        assert version(redis).startswith(VERSIONS[kind])
        assert {name: redis.config_get(name)[name] for name in DURABLE} == DURABLE | {"maxmemory": str(256 << 20)}


@pytest.mark.delivery
def test_the_shared_server_is_what_was_asked_for(server_kind: str, redis_url: str) -> None:
    assert_is(server_kind, redis_url)


@pytest.mark.delivery
def test_a_server_of_ones_own_is_what_was_asked_for(
    server_kind: str, redis_server: RedisServer, redis_url: str
) -> None:
    assert redis_url == redis_server.url
    assert_is(server_kind, redis_url)


@pytest.mark.delivery
def test_what_was_answered_outlives_a_kill(redis_server: RedisServer) -> None:
    with a_client(redis_server.url) as redis:
        for times in (1, 2):
            assert redis.incr("answered") == times
            redis_server.kill()
            with pytest.raises(RedisConnectionError):
                redis.ping()
            redis_server.start()
        assert redis.get("answered") == "2"


@pytest.mark.delivery
def test_it_answers_nothing_while_it_is_paused(redis_server: RedisServer) -> None:
    with a_client(redis_server.url) as redis, a_client(redis_server.url, patience=0.5) as hasty:
        for client in (redis, hasty):
            client.ping()
        redis_server.pause()
        with pytest.raises(RedisTimeoutError):
            hasty.set("key", "value")
        redis_server.resume()
        redis_server.flush()
        assert redis.get("key") is None


@pytest.mark.docker
@pytest.mark.parametrize("image", PUBLIC_IMAGES)
@pytest.mark.parametrize("state", ["running", "paused", "killed"])
def test_a_container_takes_its_volume_with_it(image: str, state: str) -> None:
    with RedisContainer(image) as server:
        container = docker("ps", "--quiet", "--filter", f"publish={server.port}")
        volume = docker("inspect", "--format", "{{range .Mounts}}{{.Name}}{{end}}", container)
        assert (exist("ps", "id", container), exist("volume ls", "name", volume)) == (True, True)
        if state == "paused":
            server.pause()
        elif state == "killed":
            server.kill()
    assert (exist("ps", "id", container), exist("volume ls", "name", volume)) == (False, False)


@pytest.mark.docker
async def test_a_container_ends_although_its_process_is_killed() -> None:
    require_engine()
    if os.environ.get("TESTCONTAINERS_RYUK_DISABLED"):
        pytest.skip("TESTCONTAINERS_RYUK_DISABLED is set")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ABANDON, PUBLIC_IMAGES[0]),
        cwd=ROOT,
        env=os.environ | {"RYUK_RECONNECTION_TIMEOUT": "1s"},
        stdout=PIPE,
    )
    assert process.stdout
    port = int(await process.stdout.readline())
    process.kill()
    container = docker("ps", "--quiet", "--filter", f"publish={port}")
    assert container
    await process.wait()
    await eventually(lambda: asyncio.to_thread(lambda: not exist("ps", "id", container)))


def exist(listing: str, by: str, value: str) -> bool:
    assert value
    everything = ["--all"] if listing == "ps" else []
    return bool(docker(*listing.split(), *everything, "--quiet", "--filter", f"{by}={value}"))


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True, timeout=30).stdout.strip()
