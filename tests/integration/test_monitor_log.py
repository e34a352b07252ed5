"""The prediction log of a running monitor: tidied by itself, and rid of a request's rows on demand."""

import asyncio
import json
import sys
from datetime import timedelta

import pytest

from services.monitor.log.layout import LOG, Partition
from shared.clock import utc_now
from shared.keys import LOG_GROUP
from tasador.client import Invalid, Monitor
from tests.integration.prediction_log import Log
from tests.integration.test_monitor import LOGGED, Monitors, monitors
from tests.unit.monitor.logged import logged
from tests.waiting import eventually

__all__ = ["monitors"]  # the fixture

SUBJECT = "order/47:11"


async def taken(monitors: Monitors, entries: int) -> bool:
    """Whether the log has read so many entries that it has not written yet."""
    pending = await monitors.redis.xpending(monitors.keys.stream(LOGGED), LOG_GROUP)
    return int(pending["pending"]) == entries


async def test_a_deletion_reaches_rows_that_wait_in_memory_and_in_redis(monitors: Monitors) -> None:
    names = ["a", SUBJECT, "b"]
    first, second = (monitors.event(3, 3 * n, n + 1, request_id=names) for n in range(2))
    async with monitors.running(monitor_log_seconds=600) as client:
        await monitors.send(first)
        await eventually(lambda: taken(monitors, 1))
        answer = await client.delete(f"/log/{SUBJECT}")
        assert (answer.status_code, answer.json()) == (
            200, {"request_id": SUBJECT, "rows": 0, "labelled_rows": 0, "files": 0}
        )  # fmt: skip
        assert (await monitors.logged()).num_rows == 0
    await monitors.send(second)  # answered before the deletion
    async with monitors.running():
        await eventually(monitors.settled)
    assert sorted((await monitors.logged())["request_id"].to_pylist()) == ["a", "a", "b", "b"]


async def test_what_is_written_can_be_deleted_by_the_command_line_and_the_client(monitors: Monitors) -> None:
    with monitors.start() as process:
        await monitors.send(monitors.event(2, 0, 1, request_id=[SUBJECT, "a"]), monitors.event(1, 2, 2))
        address = await monitors.address(process)
        await eventually(monitors.settled)
        words = [sys.executable, "-m", "tasador", "log", "delete", SUBJECT, "--url", address, "-o", "json"]
        command = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
        output, _ = await command.communicate()
        found = json.loads(output)
        assert (command.returncode, found["rows"], found["files"]) == (0, 1, 1)
        with Monitor(address) as client:
            assert (await asyncio.to_thread(client.delete_logged, SUBJECT)).rows == 0
            with pytest.raises(Invalid):
                await asyncio.to_thread(client.delete_logged, "no such id!")
    assert sorted((await monitors.logged())["request_id"].to_pylist()) == ["a", "r2"]


async def test_what_is_wrong_is_said_and_the_deletion_can_be_repeated(monitors: Monitors) -> None:
    log = Log(monitors.store)
    partition = Partition(LOG, "model", "2026-01-31")
    in_the_way = monitors.directory / "state" / "store" / "log-deletions"
    in_the_way.write_text("a file where the directory should be")
    async with monitors.running(monitor_log_days=0) as client:
        refused = await client.delete("/log/a")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert refused.json()["type"] == "/problems/store-unavailable"
        in_the_way.unlink()
        await log.write(logged(["a", "b"]), partition=partition)
        damaged = f"{partition.prefix}/damaged.parquet"
        await monitors.store.put(damaged, b"nonsense")
        refused = await client.delete("/log/a")
        assert refused.status_code == 500
        assert refused.json()["type"] == "/problems/log-unreadable"
        assert damaged in refused.json()["detail"]
        await monitors.store.delete(damaged)
        assert (await client.delete("/log/a")).status_code == 200
        invalid = await client.delete("/log/a%20b")
        assert (invalid.status_code, invalid.json()["errors"][0]["pointer"]) == (422, "#/path/request_id")
    assert await log.ids(partition) == ["b"]


async def test_the_log_is_tidied_from_time_to_time(monitors: Monitors) -> None:
    log = Log(monitors.store)
    old, yesterday = (Partition(LOG, "model", f"{utc_now() - timedelta(days=n):%Y-%m-%d}") for n in (9, 2))
    await log.write(logged(["c"]), partition=old)
    async with monitors.running(monitor_log_days=7, monitor_log_tidy_seconds=0.2) as client:
        await log.write(logged(["b"]), logged(["a"]), partition=yesterday)

        async def tidied() -> bool:
            return not await log.keys(old) and len(await log.keys(yesterday)) == 1

        await eventually(tidied)
        assert 'tasador_monitor_log_total{what="days_removed"} 1.0' in (await client.get("/metrics")).text
    assert await log.ids(yesterday) == ["a", "b"]
