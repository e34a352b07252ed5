"""Feedback from Python and from the command line, to a gateway as a process."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from shared.events import FeedbackReceived
from shared.keys import Keys
from shared.store import Store
from tasador.client import Client, Invalid, Malformed, TasadorError, TooLarge, Unavailable, UnknownFormat
from tests.integration.by_hand import ready_store
from tests.integration.test_gateway_process import a_process, announced
from tests.ports import free_port
from tests.processes import ServiceProcess
from tests.redis_server import RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

JOB = "019aab3c-5b1c-7d0e-9c7f-3f2e5f0c9c1a"
ONE = {"request_id": "a", "actual": 1.5}
LIMIT = 300


@pytest.fixture
async def store(tmp_path: Path) -> Store:
    return await ready_store(tmp_path)


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
async def gateway(
    redis_url: str, redis: Redis, store: Store, tmp_path: Path, port: int
) -> AsyncIterator[ServiceProcess]:
    """One that takes few values at once."""
    settings = {"gateway_port": port, "gateway_max_feedback_rows": LIMIT}
    with a_process(tmp_path, redis_url, store, **settings) as process:
        await announced(redis, pid=process.pid)
        yield process


def a_file(path: Path, rows: int, **bad: str) -> Path:
    """Row i stands in line i + 3: there is a blank line behind the header."""
    lines = [bad.get(f"row_{row}", f"{JOB},{row},{row / 2}") for row in range(rows)]
    path.write_text("\n".join(["job_id,row,actual", "", *lines, ""]))
    return path


async def received(redis: Redis) -> list[tuple[str | None, str | None, int, float]]:
    entries: Any = await redis.xrange(Keys().stream(FeedbackReceived.stream))
    events = [FeedbackReceived.of_entry(fields) for _, fields in entries]
    return [row for e in events for row in zip(e.request_id, e.job_id, e.index, e.actual, strict=True)]


def expected(rows: int) -> list[tuple[str | None, str | None, int, float]]:
    return [(None, JOB, row, row / 2) for row in range(rows)]


@pytest.mark.usefixtures("gateway")
async def test_rows_and_files_are_sent_in_as_many_requests_as_it_takes(redis: Redis, tmp_path: Path, port: int) -> None:
    heard: list[int] = []
    with Client(f"http://127.0.0.1:{port}") as client:
        path = a_file(tmp_path / "actual.csv", 1000)
        assert await asyncio.to_thread(client.feedback, path, on_progress=heard.append) == 1000
        assert await received(redis) == expected(1000)
        assert await asyncio.to_thread(client.feedback, [ONE, ONE | {"index": 2}]) == 2
        lines = tmp_path / "lines.jsonl"
        lines.write_text(f"\n{json.dumps(ONE)}\n")
        with lines.open("rb") as file:
            assert await asyncio.to_thread(client.feedback, file, content_type="application/x-ndjson") == 1
    assert heard[-1] == 1000
    assert (await received(redis))[1000:] == [("a", None, 0, 1.5), ("a", None, 2, 1.5), ("a", None, 0, 1.5)]


@pytest.mark.usefixtures("gateway")
async def test_what_is_wrong_is_told_with_its_place_in_the_file(redis: Redis, tmp_path: Path, port: int) -> None:
    with Client(f"http://127.0.0.1:{port}") as client:
        path = a_file(tmp_path / "actual.csv", 1000, row_700=f"{JOB},700,x")
        with pytest.raises(Invalid) as invalid:
            await asyncio.to_thread(client.feedback, path)
        (error,) = invalid.value.errors
        assert (error.pointer, error.detail) == ("/feedback/700/actual", 'line 703: expected a number, got "x"')
        before = await received(redis)
        assert before == expected(len(before))
        assert 0 < len(before) <= 700
        with pytest.raises(Malformed, match="line 703: expected 3 fields"):
            await asyncio.to_thread(client.feedback, a_file(path, 1000, row_700="x"))
        with pytest.raises(TooLarge):
            await asyncio.to_thread(client.feedback, [ONE | {"request_id": "a" * 5_000_000}])
        with pytest.raises(ValueError, match="JSON compliant"):
            client.feedback([ONE | {"actual": float("nan")}])
        for name in ("a.parquet", "a.csv.gz", "a.json"):
            (tmp_path / name).touch()
            with pytest.raises(UnknownFormat):
                client.feedback(tmp_path / name)


async def test_what_was_begun_goes_on_when_the_gateway_is_killed(
    gateway: ServiceProcess, redis: Redis, tmp_path: Path, port: int
) -> None:
    def restart(accepted: int) -> None:
        if gateway.pid == first:
            gateway.kill()
            gateway.start()

    first, outages = gateway.pid, list[TasadorError]()
    path = a_file(tmp_path / "actual.csv", 25_000)  # three pieces
    with Client(f"http://127.0.0.1:{port}") as client:
        accepted = await asyncio.to_thread(client.feedback, path, on_progress=restart, on_outage=outages.append)
    assert accepted == 25_000
    assert len(outages) == 1
    assert gateway.pid != first
    assert await received(redis) == expected(25_000)


async def test_a_first_value_that_cannot_be_kept_is_refused_at_once(
    redis_server: RedisServer, gateway: ServiceProcess, port: int
) -> None:
    assert gateway.running()
    redis_server.kill()
    with Client(f"http://127.0.0.1:{port}") as client, pytest.raises(Unavailable) as unavailable:
        await asyncio.to_thread(client.feedback, [ONE])
    assert unavailable.value.slug == "redis-unavailable"
    assert unavailable.value.retry_after


async def run(port: int, *words: str, stdin: str = "") -> tuple[int, str, str]:
    command = [sys.executable, "-m", "tasador", "feedback", *words, "--url", f"http://127.0.0.1:{port}"]
    done = await asyncio.to_thread(
        subprocess.run, command, input=stdin.encode(), capture_output=True, check=False, cwd="/"
    )
    assert b"Traceback" not in done.stderr
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.usefixtures("gateway")
async def test_the_command_line_takes_files_pipes_and_single_values(redis: Redis, tmp_path: Path, port: int) -> None:
    path = a_file(tmp_path / "actual.csv", 400)
    assert await run(port, str(path), "-o", "json") == (0, '{\n  "accepted": 400\n}\n', "")
    assert (await run(port, "-", stdin=json.dumps(ONE)))[:2] == (0, "accepted  1\n")
    assert (await run(port, "-", stdin="request_id,index,actual\na,3,2"))[0] == 0
    assert (await run(port, "--request-id", "b", "--actual", "-2"))[0] == 0
    assert (await run(port, "--job", JOB, "--row", "7", "--actual", "1e3"))[0] == 0
    assert await received(redis) == [
        *expected(400),
        ("a", None, 0, 1.5),
        ("a", None, 3, 2.0),
        ("b", None, 0, -2.0),
        (None, JOB, 7, 1000.0),
    ]


@pytest.mark.usefixtures("gateway")
async def test_the_command_line_says_what_is_wrong(tmp_path: Path, port: int) -> None:
    code, out, err = await run(port, str(a_file(tmp_path / "a.csv", 600, row_500=f"{JOB},500,")))
    assert (code, out) == (1, "")
    assert "/feedback/500/actual: line 503: is required" in err
    assert "values were accepted before that; sending all of them again does no harm" in " ".join(err.split())
    for words in (
        [],
        ["--request-id", "a"],
        ["--request-id", "a", "--job", JOB, "--row", "1", "--actual", "1"],
        ["--request-id", "a", "--actual", "nan"],
        ["--request-id", "a", "--row", "1", "--actual", "1"],
        ["--job", JOB, "--actual", "1"],
        [str(tmp_path / "a.csv"), "--actual", "1"],
        [str(tmp_path / "a.csv"), "--type", "parquet"],
    ):
        assert (await run(port, *words))[0] == 2, words
