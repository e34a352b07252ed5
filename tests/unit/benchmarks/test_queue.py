from typing import cast

import hiredis
import pytest
from redis.asyncio import Redis

from benchmarks.queue import sleeping
from benchmarks.queue.lanes import Lane, consume
from benchmarks.queue.moments import Moment, Work
from benchmarks.queue.sections import DRIVING, SLEEPING
from benchmarks.queue.sleeping import Progress
from benchmarks.servers import NotStarted
from shared.events import ChunkScored
from shared.jobs import Part, new_job_id
from tests.builders import a_spec

JOB = new_job_id()
PART = Part(key="jobs/x/parts/0.arrow", sha256="d" * 64, rows=10, failed=0)
EVENT = ChunkScored(
    job_id=JOB, chunk=0, rows=10, failed=0, model_name="model", model_version="1", seconds=0.1, counts={"n": 10}
)
ENTRY = ["1-0", ["job", JOB, "chunk", "7", "tries", "0", "request", ""]]


def test_what_a_chunk_costs_is_what_passed_for_all_of_them() -> None:
    before = Moment(10.0, 5.0, 1.0, 2.0, 3.0, 0.5, 100, 1000, 50, 10_000)
    after = Moment(12.0, 8.0, 1.2, 3.0, 4.0, 1.0, 400, 3500, 150, 210_000)
    work = Work(hands=4, chunks=100, passed=after.since(before), seconds=0.02)
    shown = {column.heading: round(of(work), 6) for column, of in SLEEPING}
    shown.pop("machine busy %")
    assert shown == {
        "chunks/s": 50.0,
        "efficiency": 0.25,
        "overhead ms": 60.0,
        "CPU of scorers ms": 10.0,
        "CPU of Valkey ms": 2.0,
        "round trips": 3.0,
        "commands": 25.0,
        "syncs": 1.0,
        "log KB": 2.0,
    }
    driven = {column.heading: round(of(work), 6) for column, of in DRIVING}
    assert (driven["Valkey's thread awake %"], driven["of that for its log %"], driven["CPU of Valkey %"]) == (
        50,
        50,
        10,
    )


def test_a_consumer_reads_begins_and_commits_as_a_scorer_does() -> None:
    lane = a_lane()
    assert lane.send(None)[:5] == ("XREADGROUP", "GROUP", "scorers", "me", "COUNT")
    begun = lane.send([["stream", [ENTRY]]])
    assert (begun[0], begun[-6:-2], begun[-1]) == ("EVALSHA", ("scorers", "me", "1-0", 7), JOB)
    committed = lane.send(["ok", 1, 0, 0, 1])
    assert committed[0] == "EVALSHA"
    assert committed[1] != begun[1]
    assert PART.model_dump_json() in committed
    assert EVENT.model_dump_json() in committed
    assert lane.send(["ok", 0])[0] == "XREADGROUP"


def test_a_consumer_brings_a_script_that_the_server_does_not_have() -> None:
    lane = a_lane()
    lane.send(None)
    asked = lane.send([["stream", [ENTRY]]])
    brought = lane.send(hiredis.ReplyError("NOSCRIPT No matching script."))
    assert brought[0] == "EVAL"
    assert "local deliveries = held(consumer, entry)" in str(brought[1])
    assert brought[2:] == asked[2:]


def test_a_consumer_reads_on_when_nothing_came_and_ends_when_it_is_refused() -> None:
    lane = a_lane()
    lane.send(None)
    assert lane.send(None)[0] == "XREADGROUP"
    with pytest.raises(hiredis.ReplyError, match="NOGROUP"):
        lane.send(hiredis.ReplyError("NOGROUP No such key"))


def test_what_is_refused_otherwise_is_not_tried_again() -> None:
    lane = a_lane()
    lane.send(None)
    lane.send([["stream", [ENTRY]]])
    with pytest.raises(hiredis.ReplyError, match="MISCONF"):
        lane.send(hiredis.ReplyError("MISCONF Errors writing to the AOF file"))


class Standing:
    """Of Redis, how far a job is: these counts, and then always the last one."""

    def __init__(self, *done: int) -> None:
        self._done = list(done)

    async def hget(self, key: str, name: str) -> str:
        return str(self._done.pop(0) if len(self._done) > 1 else self._done[0])


async def test_a_job_that_goes_on_is_waited_for_and_one_that_stands_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sleeping, "STANDS_SECONDS", 0.0)
    progress = Progress(cast(Redis, Standing(0, 100, 200, 510, 520)), a_spec(rows=1000), pause=0)
    assert (await progress.reach(0.5), progress.asked) == (510, 4)
    with pytest.raises(NotStarted, match="after 520 of 1000 rows"):
        await progress.reach(1)


def a_lane() -> Lane:
    return consume("me", 4, PART, EVENT)
