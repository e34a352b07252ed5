"""The queue of chunks: what must happen together happens in one Lua script (shared/scripts) on the server.

A script happened whole or not at all. Every call may be repeated when its answer was lost: the second one changes
nothing. Redis holds progress and references only; specs, inputs, parts and records lie in the store.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self, cast

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from shared.clock import utc_now
from shared.events import ChunkScored, HeartbeatPassed, JobFinished
from shared.jobs import DeadLetter, EndState, JobSpec, JobStatus, Part, job_message, job_time
from shared.keys import SCORERS_GROUP, Keys
from shared.lua import assembled

FINALISE = -1
"""In place of the chunk number, in the entry that asks for a job's finalisation."""

HEARTBEAT = -2
"""In place of the chunk number, in an entry that is to be passed on to the monitor; its job is when it was sent."""

NO_LIMIT = -1
PARTS_KEPT = timedelta(hours=1)
"""How long Redis keeps the parts of an ended job beside its record, for readers that have just begun."""
ENDED_KEPT = timedelta(days=7)
"""How long Redis keeps the progress of an ended job; afterwards its record in the store answers."""
LETTERS_KEPT = 10_000
"""Dead letters that Redis keeps, of all jobs: see prelude.lua."""

_LUA = Path(__file__).parent / "scripts"
_PAGE = 200

Submitted = Literal["ok", "duplicate", "busy", "crowded"]
Committed = Literal["ok", "duplicate", "lost", "gone"]
Renewed = Literal["ok", "lost", "gone"]


@dataclass(frozen=True, slots=True)
class Held:
    """An entry of the stream, as the consumer that holds it names it."""

    consumer: str
    entry: str
    job: str
    chunk: int
    tries: int = 0
    """Deliveries of earlier entries for the same chunk."""
    request: str = ""
    """Of the job's submission."""

    @property
    def context(self) -> dict[str, object]:
        """What every log line about it carries."""
        return {"job_id": self.job, "chunk": self.chunk, "request_id": self.request}

    @classmethod
    def of(cls, consumer: str, entry: str, fields: Mapping[str, str]) -> Self:
        """Raises KeyError or ValueError when the entry is none of ours."""
        chunk, tries = int(fields["chunk"]), int(fields["tries"])
        return cls(consumer, entry, fields["job"], chunk, tries, fields.get("request", ""))


@dataclass(frozen=True, slots=True)
class Begun:
    """`deliveries` counts this one, of this entry."""

    answer: Committed | Literal["passed"]
    deliveries: int
    suspect: bool
    """Rows of the job were given up before: more of them may be harmful."""
    letters: int
    """Dead letters of the job so far."""
    starts: bool
    """Nobody began work on the job before."""


class JobQueue:
    """Jobs and their chunks in Redis. `redis` decodes responses; nothing here retries."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self.keys = keys
        self._redis = redis
        prelude = (_LUA / "prelude.lua").read_text()
        self._scripts = {
            path.stem: redis.register_script(assembled(path.read_text(), prelude))
            for path in _LUA.glob("*.lua")
            if path.stem != "prelude"
        }

    async def submit(
        self, spec: JobSpec, window: int, backlog_limit_rows: int = NO_LIMIT, open_limit: int = NO_LIMIT
    ) -> Submitted:
        """Accept a job whose spec and input are in the store.

        `busy`: more rows than the limit would be waiting; `crowded`: so many jobs are open already; nothing was
        written. A job with this id: `duplicate`.
        """
        limits = (spec.rows, spec.chunks, window, backlog_limit_rows, open_limit)
        fields = _flat(JobStatus.submitted(spec).to_hash())
        return cast(Submitted, await self.run("submit", spec.id, spec.id, _created(spec.id), *limits, *fields))

    async def restore(self, status: JobStatus, parts: Sequence[Part] = (), *, untold: bool = False) -> bool:
        """Bring an ended job back that Redis does not know, and its dead letters; False when it does.

        Args:
            untold: its webhook has not heard of the end.
        """
        now = utc_now()
        ended = status.finished_at or now
        kept = ENDED_KEPT if untold else max(ENDED_KEPT - (now - ended), timedelta())  # zero: known by its id alone
        heard = job_message(status) if untold else ""
        letters = [letter for part in parts for letter in part.dead_letters][-LETTERS_KEPT:]
        dead = [text for letter in letters for text in _buried(letter)]
        known = (_created(status.id), _milliseconds(ended), _seconds(kept), heard, len(letters), *dead)
        return bool(await self.run("restore", status.id, status.id, *known, *_flat(status.to_hash())))

    async def begin(self, held: Held) -> Begun:
        """Ask whether to start work on an entry. Anything but `ok`: leave it; unless lost, it was dropped.

        `passed`: it was a heartbeat, and the monitor hears of it.
        """
        ours = (held.consumer, held.entry, held.chunk)
        answer, deliveries, suspect, letters, starts = await self.run("begin", held.job, *ours, _now(), held.job)
        return Begun(answer, int(deliveries), bool(suspect), int(letters), bool(starts))

    async def commit(
        self,
        held: Held,
        part: Part,
        *,
        window: int,
        event: ChunkScored | None = None,
        event_bytes: int = 0,
    ) -> tuple[Committed, int]:
        """Acknowledge a chunk and record its part, if we still hold it and are the first.

        Args:
            part: its object is in the store, durable. Its dead letters are kept.
            window: chunks that a job of the highest priority should have in the stream now; others get their share.
            event_bytes: the stream of `chunk.scored` may take no more memory than this; else the event is dropped.

        Returns:
            The answer, and the rows whose event was dropped.
        """
        text = event.model_dump_json() if event else ""
        chunk = (held.consumer, held.entry, held.job, held.chunk, part.model_dump_json(), part.rows, part.failed)
        dead = [text for letter in part.dead_letters for text in _buried(letter)[:2]]
        now = _milliseconds(utc_now())
        answer, dropped = await self.run("commit", held.job, *chunk, window, text, event_bytes, now, *dead)
        return answer, int(dropped)

    async def finish(self, held: Held, status: JobStatus) -> Committed:
        """Complete a job whose manifest is in the store; `status` is what that says."""
        event = _finished(status, "completed").model_dump_json()
        ours = (held.consumer, held.entry, held.job)
        ended = (status.finished_at or utc_now()).isoformat()
        return cast(Committed, await self.run("finish", held.job, *ours, ended, event, *_settling(status)))

    async def renew(self, held: Held) -> Renewed:
        """Extend the lease. Anything but `ok`: stop, and do not commit; the job has ended, or somebody else has it."""
        return cast(Renewed, await self.run("renew", held.job, held.consumer, held.entry, held.chunk))

    async def release(self, held: Held, *, failed: bool = False) -> bool:
        """Hand an entry back, so that anybody takes it at once; False when it is not ours.

        Args:
            failed: this delivery counts, as one that brought no result.
        """
        return bool(await self.run("release", held.job, held.consumer, held.entry, int(failed)))

    async def end(self, status: JobStatus, state: EndState, error: str = "") -> str:
        """End a job early, whoever works on it; returns the state before, `unknown` for a job that is not here.

        Use `shared.records.end_job`, which records the end in the store as well.
        """
        event = _finished(status, state).model_dump_json()
        return str(await self.run("end", status.id, status.id, state, _now(), error, event))

    async def settle(self, status: JobStatus) -> None:
        """Note that the end of a job is recorded in the store, with the counts of this status."""
        counts = (status.done, status.failed)
        await self.run("settle", status.id, status.id, *counts, *_settling(status))

    async def feed(self, job_id: str, window: int, missing: Sequence[int] = ()) -> int:
        """Top a job up to `window`, and put chunks back that got lost; returns the entries added."""
        return int(await self.run("feed", job_id, job_id, window, *missing))

    async def status(self, job_id: str) -> JobStatus | None:
        fields: Any = await self._redis.hgetall(self.keys.job(job_id))
        return JobStatus.of_hash(fields) if fields else None

    async def statuses(self, job_ids: Sequence[str]) -> dict[str, JobStatus]:
        """Return the status of each job whose progress is known here: not of one that ended long ago."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.hgetall(self.keys.job(job_id))
            found = await pipe.execute()
        return {job_id: JobStatus.of_hash(fields) for job_id, fields in zip(job_ids, found, strict=True) if fields}

    async def ids(self, limit: int, before: str | None = None) -> Sequence[str]:
        """Return the ids of up to `limit` jobs, the newest first, all older than job `before`.

        Raises:
            ValueError: `before` is no job id.
        """
        return [job_id async for job_id in self._ids(limit, before)]

    async def parts(self, job_id: str, first: int = 0, last: int | None = None) -> dict[int, Part]:
        """Return the committed parts by chunk: of chunks [first, last), or all.

        For a job that has ended, its record in the store is the truth (`shared.records.parts_of`).
        """
        key = self.keys.parts(job_id)
        if last is None:
            found: Mapping[Any, Any] = await self._redis.hgetall(key)
        elif last <= first:
            return {}
        else:
            chunks = range(first, last)
            values = await self._redis.hmget(key, [str(chunk) for chunk in chunks])
            found = {chunk: text for chunk, text in zip(chunks, values, strict=True) if text is not None}
        return {chunk: Part.model_validate_json(text) for chunk, text in sorted((int(c), t) for c, t in found.items())}

    async def backlog(self) -> int:
        """Return how many rows are accepted and not yet finished."""
        return int(await self._redis.get(self.keys.backlog) or 0)

    async def open_count(self) -> int:
        """Return how many jobs `open_jobs` would name."""
        return int(await self._redis.zcard(self.keys.open_jobs))

    async def open_jobs(self) -> Sequence[str]:
        """Return the ids, oldest first, of jobs that have not ended, or whose end is not yet recorded in the store."""
        found: Any = await self._redis.zrange(self.keys.open_jobs, 0, -1)
        return sorted(found)

    async def _ids(self, limit: int, before: str | None) -> AsyncIterator[str]:
        newest = "+inf" if before is None else str(_created(before))
        offset = 0
        while limit > 0:
            page: Any = await self._redis.zrevrangebyscore(self.keys.jobs, newest, "-inf", offset, _PAGE)
            for job_id in page:
                if limit > 0 and (before is None or job_id < before):
                    limit -= 1
                    yield job_id
            if len(page) < _PAGE:
                return
            offset += _PAGE

    async def run(self, script: str, job_id: str, *args: str | float) -> Any:
        """Run a script of shared/scripts; `job_id` is "" for one that concerns no job."""
        k = self.keys
        names = [k.job(job_id), k.parts(job_id), k.chunks, k.backlog, k.jobs, k.open_jobs, k.ended_jobs, k.unswept_jobs]
        names += [k.dead_letters, k.dead_letter_bodies, k.stream(ChunkScored.stream), k.stream(JobFinished.stream)]
        names += [k.dropped_events, k.jobs_restored, k.webhooks_due, k.webhook(job_id)]
        names += [k.heartbeat, k.stream(HeartbeatPassed.stream)]
        call: AsyncScript = self._scripts[script]
        return await call(keys=names, args=[SCORERS_GROUP, *args])


def _finished(status: JobStatus, state: EndState) -> JobFinished:
    return JobFinished(
        job_id=status.id, state=state, rows=status.done, failed=status.failed, request_id=status.request_id
    )


def _buried(letter: DeadLetter) -> tuple[str, str, int]:
    return letter.id, letter.model_dump_json(), _milliseconds(letter.at)


def _settling(status: JobStatus) -> tuple[int, int, int, str]:
    """What the scripts need of a job whose end is recorded."""
    heard = job_message(status) if status.webhook else ""
    return _milliseconds(status.finished_at or utc_now()), _seconds(ENDED_KEPT), _seconds(PARTS_KEPT), heard


def _flat(fields: Mapping[str, str]) -> list[str]:
    return [text for item in fields.items() for text in item]


def _created(job_id: str) -> int:
    return _milliseconds(job_time(job_id))


def _milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _seconds(span: timedelta) -> int:
    return int(span.total_seconds())


def _now() -> str:
    return utc_now().isoformat()
