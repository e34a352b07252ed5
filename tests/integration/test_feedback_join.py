"""Feedback is joined with the log and with jobs: each value counts once, and its correction in place of it."""

import asyncio
import errno
import io
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from services.monitor import versions
from services.monitor.feedback import joiner as joining
from services.monitor.feedback.inbox import Inbox
from services.monitor.feedback.joiner import OUTCOMES, Joiner, Patience
from services.monitor.feedback.labels import Labels
from services.monitor.feedback.matching import Found, Matching
from services.monitor.log.deletions import DeletionRecords
from services.monitor.log.files import Files
from services.monitor.log.layout import LOG, Partition
from services.monitor.log.lookup import LogReader
from services.monitor.log.rows import by_day, to_parquet, to_table
from services.monitor.log.shelf import Shelf
from services.monitor.quality import Quality, summarise_quality
from services.monitor.scorecard import Scorecard
from services.monitor.versions import Versions
from services.monitor.windows import DAY, HOUR
from shared.chunks import Chunk, RowError, encode_chunk, encode_part
from shared.clock import utc_now
from shared.events import FeedbackReceived
from shared.jobs import JobRecord, JobSpec, JobStatus, Part, new_job_id
from shared.keys import Keys, job_path
from shared.records import MANIFEST, SPEC
from shared.store import Store
from shared.tasks import end
from tests.artifacts import a_champion, an_artifact
from tests.unit.monitor.builders import Rows, an_event
from tests.waiting import eventually

pytestmark = pytest.mark.delivery
NOW = datetime.now(UTC)


@dataclass
class Desk:
    """A joiner worked by hand, with the log that it looks into."""

    redis: Redis
    keys: Keys
    store: Store
    versions: Versions
    shelf: Shelf
    files: Files
    patience: Patience

    @property
    def inbox(self) -> Inbox:
        return Inbox(self.redis, self.keys)

    @property
    def scorecard(self) -> Scorecard:
        return Scorecard(self.redis, self.keys, hours_days=8, days=400)

    def joiner(self, scorecard: Scorecard | None = None) -> Joiner:
        return Joiner(
            self.redis,
            self.keys,
            self.inbox,
            matching=Matching(self.store, LogReader(self.store, self.files), self.versions),
            labels=Labels(self.shelf, self.files),
            scorecard=scorecard or self.scorecard,
            model="model",
            patience=self.patience,
        )

    async def counted(self) -> dict[str, int]:
        """Return the values by what became of them; zeros are left out."""
        found = await self.redis.hgetall(self.keys.feedback)
        return {name: int(found[name]) for name in OUTCOMES if int(found.get(name, 0))}

    async def log(self, x: Rows, predictions: list[float], *, first: int = 0, **fields: Any) -> None:
        """Log predictions as single ones of the requests r<first>, r<first + 1>, …"""
        event = an_event(x, predictions, first=first, **fields)
        version = await self.versions.get(event.model_name, event.model_version)
        for day, rows in by_day(to_table(event, version.signature)):
            await self.shelf.add(Partition(LOG, event.model_name, day), [rows])

    async def say(
        self, values: dict[str, float], *, at: datetime | None = None, index: int = 0, jobs: bool = False
    ) -> None:
        """Take feedback in, as the gateway does: by request, or by rows of jobs, all of one index."""
        names: list[str | None] = list(values)
        nothing: list[str | None] = [None] * len(names)
        event = FeedbackReceived(
            request_id=nothing if jobs else names,
            job_id=names if jobs else nothing,
            index=[index] * len(names),
            actual=list(values.values()),
        )
        entry = "*" if at is None else f"{round(at.timestamp() * 1000)}-0"
        await self.redis.xadd(self.keys.stream(event.stream), event.entry(), id=entry)  # type: ignore[arg-type]

    async def join(self) -> None:
        joiner = self.joiner()
        await joiner.work()
        await joiner.stop()

    async def hurry(self) -> None:
        """Make everything that waits due."""
        for entry in await self.redis.zrange(self.keys.feedback_due, 0, -1):
            await self.redis.zadd(self.keys.feedback_due, {str(entry): 0})

    async def quality(self, version: str = "1", seconds: float | None = None) -> Quality:
        of_sums = (await self.versions.get("model", version)).quality_of
        windows = [] if seconds is None else [seconds]
        return (await self.scorecard.read("model", version, of_sums, windows, time.time()))[0].quality

    async def labels(self) -> list[dict[str, Any]]:
        found = [pq.read_table(io.BytesIO(await self.store.get(key))) async for key in self.store.list("labels")]
        rows = pa.concat_tables(found, promote_options="default").to_pylist() if found else []
        return sorted(rows, key=lambda row: (row["request_id"], row["index"], row["labelled_at"]))

    async def left(self) -> int:
        return await self.inbox.length() + await self.inbox.waiting()


@pytest.fixture
async def desk(redis: Redis, keys: Keys, store: Store) -> Desk:
    await a_champion(store)
    files, records = Files(store), DeletionRecords(store)
    versions, patience = Versions(store, patience=0.0), Patience(seconds=7 * DAY, values=1000)
    return Desk(redis, keys, store, versions, Shelf(store, files, records), files, patience)


async def rows_for(desk: Desk, n: int, version: str = "1") -> Rows:
    """Encoded rows that the version takes: numbers are the row's number, categories the first."""
    features = (await desk.versions.get("model", version)).signature.features
    columns = [np.arange(n, dtype=float) if f.kind == "numeric" else np.zeros(n) for f in features]
    return np.column_stack(columns)


def bias(found: Quality) -> float:
    assert found.bias is not None
    return found.bias.value


async def test_values_are_joined_with_the_log_kept_as_labelled_rows_and_counted(desk: Desk) -> None:
    x = await rows_for(desk, 4)
    await desk.log(x, [10.0, 20.0, 30.0, 40.0])
    await desk.say({"r0": 11.0, "r2": 27.0})
    await desk.join()
    assert await desk.counted() == {"joined": 2}
    found = await desk.quality()
    assert found.n == 2
    assert bias(found) == pytest.approx(1.0, abs=1e-5)
    assert (await desk.quality(seconds=24 * HOUR)).n == 2
    first, second = await desk.labels()
    assert (first["request_id"], first["index"], first["prediction"], first["actual"]) == ("r0", 0, 10.0, 11.0)
    assert (second["request_id"], second["model_version"]) == ("r2", "1")
    assert abs((second["labelled_at"] - datetime.now(UTC)).total_seconds()) < 60
    signature = (await desk.versions.get("model", "1")).signature
    numeric = next(f.name for f in signature.features if f.kind == "numeric")
    category = next(f for f in signature.features if f.kind == "categorical")
    assert (first[numeric], second[numeric]) == (0.0, 2.0)
    assert second[category.name] == category.categories[0]
    assert await desk.left() == 0


async def test_a_correction_takes_the_place_of_what_was_said_and_a_repetition_changes_nothing(desk: Desk) -> None:
    await desk.log(await rows_for(desk, 2), [10.0, 20.0])
    await desk.say({"r0": 11.0, "r1": 20.0})
    await desk.join()
    await desk.say({"r0": 11.0})
    await desk.say({"r0": 14.0})
    await desk.join()
    assert await desk.counted() == {"joined": 2, "corrected": 1, "repeated": 1}
    found = await desk.quality()
    assert found.n == 2
    assert bias(found) == pytest.approx(-2.0, abs=1e-5)
    assert [row["actual"] for row in await desk.labels()] == [11.0, 14.0, 20.0]


async def test_a_value_that_waited_does_not_take_the_place_of_a_later_one(desk: Desk) -> None:
    await desk.say({"r0": 99.0, "r1": 20.0})
    await desk.join()
    await desk.log(await rows_for(desk, 2), [10.0, 20.0])
    await desk.say({"r0": 14.0})
    await desk.join()
    await desk.hurry()
    await desk.join()
    assert await desk.counted() == {"joined": 2, "repeated": 1}
    assert bias(await desk.quality()) == pytest.approx(-2.0, abs=1e-5)


async def test_a_value_that_waited_does_not_take_the_place_of_a_later_repetition(desk: Desk) -> None:
    for actual in (11.0, 14.0):
        await desk.say({"r0": actual})
        await desk.join()
    await desk.log(await rows_for(desk, 1), [10.0])
    first, _ = await desk.redis.zrange(desk.keys.feedback_due, 0, -1)
    await desk.redis.zadd(desk.keys.feedback_due, {str(first): 0})
    await desk.join()
    await desk.say({"r0": 11.0})
    await desk.join()
    await desk.hurry()
    await desk.join()
    assert await desk.counted() == {"joined": 1, "repeated": 2}
    assert bias(await desk.quality()) == pytest.approx(-1.0, abs=1e-5)
    assert (await desk.labels())[-1]["actual"] == 11.0


async def test_of_several_values_in_one_go_the_latest_counts(desk: Desk) -> None:
    await desk.log(await rows_for(desk, 1), [10.0])
    await desk.say({"r0": 12.0})
    await desk.say({"r0": 14.0})
    await desk.join()
    assert bias(await desk.quality()) == pytest.approx(-4.0, abs=1e-5)
    assert await desk.counted() == {"joined": 1, "repeated": 1}


async def test_what_finds_no_prediction_waits_is_counted_and_is_joined_when_it_is_logged(desk: Desk) -> None:
    await desk.log(await rows_for(desk, 1), [10.0])
    await desk.say({"r0": 11.0, "r1": 25.0, "r2": 26.0})
    await desk.join()
    assert await desk.inbox.waiting() == 2
    assert await desk.inbox.due(NOW.timestamp(), 10) == []
    await desk.log(await rows_for(desk, 1), [20.0], first=1)
    await desk.hurry()
    await desk.join()
    assert await desk.counted() == {"joined": 2}
    assert await desk.inbox.waiting() == 1
    assert (await desk.quality()).n == 2
    (entry,) = await desk.redis.zrange(desk.keys.feedback_due, 0, -1)
    due = await desk.redis.zscore(desk.keys.feedback_due, str(entry))
    assert due is not None
    assert 40 < due - datetime.now(UTC).timestamp() < 80  # later than the first time


async def test_what_is_due_is_joined_though_new_values_never_cease(desk: Desk) -> None:
    await desk.say({"r0": 11.0})
    await desk.join()
    await desk.log(await rows_for(desk, 21), [10.0] * 21)
    await desk.hurry()
    joiner, said = desk.joiner(), iter(range(1, 21))

    class Busy(Matching):
        async def find(self, values: Any) -> Found:
            if not await desk.inbox.due(NOW.timestamp(), 1):
                return await super().find(values)
            await desk.say({f"r{next(said)}": 11.0})  # fails when there is none left
            return await super().find(values)

    joiner.matching = Busy(desk.store, LogReader(desk.store, desk.files), desk.versions)
    await desk.say({"r1": 11.0})
    await joiner.work()
    await joiner.stop()
    assert next(said) < 5
    assert await desk.left() == 0


async def test_what_waited_for_too_long_or_finds_no_room_is_given_up_and_counted(desk: Desk) -> None:
    await desk.say({"unknown": 1.0}, at=NOW - timedelta(days=8))
    await desk.join()
    assert await desk.counted() == {"given_up": 1}
    desk.patience = Patience(seconds=7 * DAY, values=3)
    await desk.say({f"a{i}": 1.0 for i in range(3)})
    await desk.join()
    await desk.say({"b": 1.0})
    await desk.join()
    assert await desk.inbox.waiting() == 3
    assert await desk.counted() == {"given_up": 2}


async def test_rows_of_versions_with_other_columns_are_counted_for_their_version(desk: Desk) -> None:
    await an_artifact(desk.store, "model", "2", seed=3)
    await desk.log(await rows_for(desk, 1), [10.0])
    await desk.log(await rows_for(desk, 1, "2"), [50.0], first=1, model_version="2")
    await desk.say({"r0": 10.0, "r1": 53.0})
    await desk.join()
    assert bias(await desk.quality("1")) == pytest.approx(0.0, abs=1e-5)
    assert bias(await desk.quality("2")) == pytest.approx(-3.0, abs=1e-5)


async def a_job(desk: Desk, *, chunk_rows: int = 4, rows: int = 10) -> str:
    """A completed job whose row i has the prediction 10 * i; row 5 has an error."""
    x, job_id = await rows_for(desk, rows), new_job_id()
    parts, offsets, data = [], [0], b""
    for start in range(0, rows, chunk_rows):
        here = x[start : start + chunk_rows]
        bad = [RowError(5, "size", "missing", "")] if start <= 5 < start + len(here) else []
        data += encode_chunk(Chunk(start, here, bad))
        offsets.append(len(data))
        key = job_path(job_id, f"parts/{start}.arrow")
        await desk.store.put(key, encode_part(start, 10.0 * np.arange(start, start + len(here), dtype=np.float64), bad))
        parts.append(Part(key=key, sha256="", rows=len(here), failed=len(bad)))
    input_key = job_path(job_id, "input")
    await desk.store.put(input_key, data)
    spec = JobSpec(
        id=job_id,
        model_name="model",
        model_version="1",
        model_digest="",
        rows=rows,
        chunk_rows=chunk_rows,
        chunks=len(parts),
        input_key=input_key,
        input_offsets=offsets,
    )
    await desk.store.put(job_path(job_id, SPEC), spec.model_dump_json().encode())
    status = JobStatus.submitted(spec).model_copy(update={"state": "completed", "finished_at": NOW})
    record = JobRecord(status=status, model_digest="", parts=tuple(parts))
    await desk.store.put(job_path(job_id, MANIFEST), record.model_dump_json().encode())
    return job_id


async def test_values_are_joined_with_the_rows_of_a_job(desk: Desk) -> None:
    job_id = await a_job(desk)
    for row, actual in ((0, 1.0), (7, 70.0), (9, 89.0)):
        await desk.say({job_id: actual}, index=row, jobs=True)
    await desk.join()
    assert await desk.counted() == {"joined": 3}
    assert bias(await desk.quality()) == pytest.approx(0.0, abs=1e-5)
    rows = await desk.labels()
    assert [(row["request_id"], row["index"], row["prediction"]) for row in rows] == [
        (f"job:{job_id}", 0, 0.0),
        (f"job:{job_id}", 7, 70.0),
        (f"job:{job_id}", 9, 90.0),
    ]
    numeric = next(f.name for f in (await desk.versions.get("model", "1")).signature.features if f.kind == "numeric")
    assert [row[numeric] for row in rows] == [0.0, 7.0, 9.0]


async def test_files_of_labelled_rows_say_the_version_of_their_schema(desk: Desk) -> None:
    await desk.log(await rows_for(desk, 1), [10.0])
    await desk.say({"r0": 11.0})
    await desk.say({await a_job(desk): 1.0}, jobs=True)
    await desk.join()
    files = [pq.read_schema(io.BytesIO(await desk.store.get(key))) async for key in desk.store.list("labels")]
    assert [schema.metadata for schema in files] == [{b"tasador.schema": b"1"}] * 2


async def test_a_file_of_labels_of_a_newer_schema_is_not_read_as_if_it_were_ours(desk: Desk) -> None:
    await desk.log(await rows_for(desk, 1), [10.0])
    await desk.say({"r0": 11.0})
    await desk.join()
    (key,) = [key async for key in desk.store.list("labels")]
    newer = pq.read_table(io.BytesIO(await desk.store.get(key))).replace_schema_metadata({"tasador.schema": "2"})
    await desk.store.delete(key)
    await desk.store.put(key, to_parquet(newer))
    desk.files = Files(desk.store)
    await desk.say({"r0": 12.0})
    with capture_logs() as logs:
        await desk.join()
    assert "upgrade" in next(line["reason"] for line in logs if line["event"] == "feedback of a day waits")
    assert await desk.counted() == {"joined": 1}
    assert await desk.inbox.waiting() == 1


async def test_a_request_whose_id_looks_like_a_jobs_is_looked_for_in_the_log_and_holds_up_nothing(desk: Desk) -> None:
    job_id = await a_job(desk)
    names = ["job:4711", f"job:{job_id}/job.json", "job:../../x", "job:"]
    for first, name in enumerate(names):
        await desk.log(await rows_for(desk, 1), [10.0], first=first, request_id=[name])
    await desk.say(dict.fromkeys(names, 11.0))
    await desk.say({"job:4712": 11.0})
    await desk.join()
    assert (await desk.counted(), await desk.inbox.waiting()) == ({"joined": 4}, 1)
    assert sorted(row["request_id"] for row in await desk.labels()) == sorted(names)
    await desk.log(await rows_for(desk, 1), [10.0], request_id=["job:4712"])
    await desk.hurry()
    await desk.join()
    assert (await desk.counted(), await desk.left()) == ({"joined": 5}, 0)


async def test_rows_without_a_prediction_are_given_up_and_jobs_that_run_are_waited_for(desk: Desk) -> None:
    job_id = await a_job(desk)
    manifest = await desk.store.get(job_path(job_id, MANIFEST))
    await desk.store.delete(job_path(job_id, MANIFEST))
    for row in (5, 6, 10):  # an error, a prediction, and behind the end
        await desk.say({job_id: 60.0}, index=row, jobs=True)
    await desk.join()
    assert (await desk.counted(), await desk.inbox.waiting()) == ({}, 3)
    await desk.store.put(job_path(job_id, MANIFEST), manifest)
    await desk.hurry()
    await desk.join()
    assert (await desk.counted(), await desk.left()) == ({"joined": 1, "given_up": 2}, 0)


class Blind(Matching):
    async def find(self, values: Any) -> Found:
        return Found(left=list(values))


class Dies(Scorecard):
    def targets(self, *_: Any) -> Any:
        raise RuntimeError("killed here")


async def test_a_joiner_that_dies_between_keeping_and_counting_changes_nothing(desk: Desk) -> None:
    await desk.log(await rows_for(desk, 2), [10.0, 20.0])
    await desk.say({"r0": 11.0, "r1": 21.0})
    dying = desk.joiner(Dies(desk.redis, desk.keys, 8, 400))
    with pytest.raises(RuntimeError):
        await dying.work()
    await dying.stop()
    assert len(await desk.labels()) == 2
    assert (await desk.quality()).n == 0
    await desk.join()
    assert (await desk.counted(), (await desk.quality()).n) == ({"joined": 2}, 2)
    assert bias(await desk.quality()) == pytest.approx(-1.0, abs=1e-5)


async def test_a_value_that_was_kept_and_not_counted_is_not_taken_out_by_its_correction(desk: Desk) -> None:
    await desk.say({"r0": 11.0})
    await desk.join()
    await desk.log(await rows_for(desk, 1), [10.0])
    await desk.hurry()
    dying = desk.joiner(Dies(desk.redis, desk.keys, 8, 400))
    with pytest.raises(RuntimeError):
        await dying.work()
    await dying.stop()
    await desk.say({"r0": 14.0})
    await desk.join()
    await desk.hurry()
    await desk.join()
    assert (await desk.counted(), await desk.left()) == ({"joined": 1, "repeated": 1}, 0)
    found = await desk.quality()
    assert found.n == 1
    assert bias(found) == pytest.approx(-4.0, abs=1e-5)


async def test_what_an_entry_has_counted_is_remembered_while_the_rest_of_it_waits(desk: Desk) -> None:
    await desk.log(await rows_for(desk, 1), [10.0])
    await desk.say({"r0": 11.0, "r1": 5.0})
    await desk.join()
    await desk.say({"r0": 14.0})
    blind = desk.joiner()
    blind.matching = Blind(desk.store, LogReader(desk.store, desk.files), desk.versions)
    await blind.work()
    await blind.stop()
    await desk.hurry()
    await desk.join()
    assert await desk.counted() == {"joined": 1, "corrected": 1}
    found = await desk.quality()
    assert found.n == 1
    assert bias(found) == pytest.approx(-4.0, abs=1e-5)


async def test_a_store_that_cannot_be_written_is_said_once_and_costs_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    async def full(*_: Any) -> None:
        tries.append("once more")
        raise OSError(errno.ENOSPC, "No space left on device")

    await desk.log(await rows_for(desk, 1), [10.0])
    await desk.say({"r0": 11.0})
    monkeypatch.setattr(joining, "PAUSE", 0.01)
    with capture_logs() as told:
        running = asyncio.create_task(desk.joiner().run())
        with monkeypatch.context() as disk:
            disk.setattr(desk.store, "put_new", full)
            await eventually(lambda: asyncio.sleep(0, len(tries) >= 3))
        await eventually(lambda: _none_left(desk))
        await end([running])
    warnings = [each for each in told if each["log_level"] == "warning"]
    assert [each["error"] for each in warnings] == ["[Errno 28] No space left on device"]
    assert await desk.counted() == {"joined": 1}


async def _none_left(desk: Desk) -> bool:
    return not await desk.left()


async def test_after_redis_lost_its_data_values_count_anew(desk: Desk) -> None:
    await desk.log(await rows_for(desk, 3), [10.0, 20.0, 30.0])
    await desk.say({"r0": 11.0, "r1": 25.0, "r2": 30.0})
    await desk.join()
    await desk.redis.flushdb()
    await desk.say({"r0": 11.0, "r1": 24.0})  # before any monitor is back
    await desk.join()
    await desk.say({"r1": 24.0, "r0": 12.0})
    await desk.join()
    assert await desk.counted() == {"joined": 2, "repeated": 1, "corrected": 1}
    found = await desk.quality()
    assert found.n == 2
    assert bias(found) == pytest.approx(-3.0, abs=1e-5)


async def test_one_that_lost_its_lease_counts_nothing(desk: Desk) -> None:
    await desk.log(await rows_for(desk, 1), [10.0])
    await desk.say({"r0": 11.0})
    paused = desk.joiner()

    class Slow(Matching):
        async def find(self, values: Any) -> Any:
            await desk.redis.set(desk.keys.lease("feedback"), "somebody else")
            return await super().find(values)

    paused.matching = Slow(desk.store, LogReader(desk.store, desk.files), desk.versions)
    await paused.work()
    assert (await desk.counted(), await desk.left()) == ({}, 1)
    await desk.redis.delete(desk.keys.lease("feedback"))
    await desk.join()
    assert await desk.counted() == {"joined": 1}


async def test_what_cannot_be_read_is_dropped_and_counted_and_holds_up_nothing(desk: Desk) -> None:
    await desk.log(await rows_for(desk, 1), [10.0])
    stream = desk.keys.stream(FeedbackReceived.stream)
    await desk.redis.xadd(stream, {"__data__": "{"})
    await desk.redis.xadd(stream, {"other": "field"})
    both = FeedbackReceived(request_id=["a"], job_id=["b"], index=[0], actual=[1.0])
    await desk.redis.xadd(stream, both.entry())  # type: ignore[arg-type]
    uneven = FeedbackReceived(request_id=["a", "b"], job_id=[None], index=[0], actual=[1.0])
    await desk.redis.xadd(stream, uneven.entry())  # type: ignore[arg-type]
    await desk.say({"../../x": 1.0}, jobs=True)
    await desk.say({"r0": 11.0})
    await desk.join()
    assert await desk.counted() == {"invalid": 5, "joined": 1}


async def test_a_damaged_file_of_the_log_holds_up_what_is_in_it_and_nothing_else(desk: Desk) -> None:
    await desk.log(await rows_for(desk, 1), [10.0])
    await desk.store.put(f"log/model/date={utc_now():%Y-%m-%d}/0.parquet", b"nonsense")
    await desk.say({"r0": 11.0, "r1": 11.0})
    await desk.join()
    assert (await desk.counted(), await desk.left()) == ({"joined": 1}, 1)


async def test_a_damaged_file_of_labels_holds_up_the_values_of_its_day_and_no_others(desk: Desk) -> None:
    yesterday = NOW - timedelta(days=1)
    await desk.log(await rows_for(desk, 1), [10.0])
    await desk.log(await rows_for(desk, 1), [20.0], first=1, time=[yesterday.timestamp()])
    damaged = f"labels/model/date={yesterday:%Y-%m-%d}/0.parquet"
    await desk.store.put(damaged, b"nonsense")
    await desk.say({"r0": 11.0, "r1": 21.0})
    await desk.join()
    assert (await desk.counted(), await desk.inbox.waiting()) == ({"joined": 1}, 1)
    await desk.store.delete(damaged)
    await desk.hurry()
    await desk.join()
    assert (await desk.counted(), await desk.left()) == ({"joined": 2}, 0)


async def test_many_values_of_several_entries_are_counted_once_each(desk: Desk) -> None:
    n = 2500
    rng = np.random.default_rng(1)
    predictions, actual = rng.normal(100, 10, n), rng.normal(100, 10, n)
    await desk.log(await rows_for(desk, n), predictions.tolist())
    said = {f"r{i}": float(actual[i]) for i in range(n)}
    for start in range(0, n, 100):
        await desk.say(dict(list(said.items())[start : start + 100]))
    await asyncio.gather(desk.join(), desk.join())  # one of them has nothing to do
    await desk.join()
    found = await desk.quality()
    assert found.n == n
    assert found.rmse is not None
    assert found.rmse.value == pytest.approx(float(np.sqrt(((predictions - actual) ** 2).mean())), rel=1e-4)
    assert await desk.counted() == {"joined": n}


async def test_values_of_an_hour_are_summed_up_together(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """One by one, the ten thousand of a request would keep everything else in a monitor waiting for two seconds."""
    sizes: list[int] = []

    def counted(reference: Any, rmse: float, predictions: Any, actual: Any) -> Any:
        sizes.append(len(actual))
        return summarise_quality(reference, rmse, predictions, actual)

    monkeypatch.setattr(versions, "summarise_quality", counted)
    await desk.log(await rows_for(desk, 100), [10.0] * 100, time=[NOW.timestamp()] * 100)
    await desk.say({f"r{i}": 11.0 for i in range(100)})
    await desk.join()
    await desk.say({f"r{i}": 12.0 for i in range(30)})
    await desk.join()
    assert [size for size in sizes if size] == [100, 30, 30]
    assert bias(await desk.quality()) == pytest.approx(-1.3, abs=1e-5)
