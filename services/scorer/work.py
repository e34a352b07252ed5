"""Doing what an entry of the stream asks for, under its lease, and deciding what becomes of it when that fails."""

import asyncio
import logging
import os
from collections.abc import Callable
from datetime import timedelta
from os import EX_SOFTWARE
from typing import NoReturn

from services.scorer.attempt import Attempt
from services.scorer.chunk import ChunkWork
from services.scorer.finalise import Finaliser
from services.scorer.inputs import Inputs
from services.scorer.lease import ChunkLease, LeaseLost
from services.scorer.metrics import Metrics
from services.scorer.patience import JobImpossible, StoreAway, until_answered
from services.scorer.score import EngineFailed
from services.scorer.thread import EngineHangs
from shared.clock import utc_now
from shared.jobs import TERMINAL, EndState, JobStatus, overdue
from shared.records import end_job
from shared.scripts import FINALISE, Held, JobQueue
from shared.store import Store
from shared.tasks import end
from shared.telemetry import get_logger

CUT_OFF_SECONDS = 2.0  # for Redis, which may be away

log = get_logger(__name__)


class Worker:
    """Scores one entry at a time, whichever way it came in, while the part of the one before is written."""

    def __init__(
        self,
        queue: JobQueue,
        store: Store,
        lease: timedelta,
        *,
        inputs: Inputs,
        chunks: ChunkWork,
        finaliser: Finaliser,
        metrics: Metrics,
    ) -> None:
        self.turn = asyncio.Semaphore(1)
        """One chunk at a time: two would only take each other's processor, and one that waited here could be done by a
        scorer that has nothing to do.
        """
        self._queue = queue
        self._store = store
        self._lease = lease
        self._inputs = inputs
        self._chunks = chunks
        self._finaliser = finaliser
        self._metrics = metrics
        self._writing: asyncio.Task[None] | None = None

    async def process_in_turn(self, held: Held) -> None:
        """Do what an entry asks for when it is our turn. If that may take long, the entry is for somebody else."""
        try:
            async with asyncio.timeout(self._lease.total_seconds() / 3):  # until when it need not be renewed
                await self.turn.acquire()
        except TimeoutError:
            await until_answered(lambda: self._queue.release(held))
            self._count("released", held)
            async with self.turn:
                return  # and read the next one
        try:
            await self.process(held)
        finally:
            self.turn.release()

    async def process(self, held: Held) -> None:
        """Do what an entry asks for, having the turn, which may go to the next one on return.

        By then the entry is done with, or its part is being written: of no more than one. Whatever goes wrong is dealt
        with here; only cancellation passes through.
        """
        scored = asyncio.Event()
        doing = asyncio.create_task(self._do(held, scored.set))
        doing.add_done_callback(lambda _: scored.set())
        try:
            await scored.wait()
            await self.written()
        except asyncio.CancelledError:
            await end([doing])
            raise
        self._writing = doing

    async def written(self) -> None:
        """Return when no part is being written."""
        if self._writing is not None:
            await asyncio.wait({self._writing})

    async def abandon(self) -> None:
        """Give up the part that is being written."""
        if self._writing is not None:
            await end([self._writing])

    async def _do(self, held: Held, scored: Callable[[], None]) -> None:
        lease = ChunkLease(self._queue, held, self._lease)

        async def work() -> None:
            self._count(await self._begin(held, lease, scored), held)

        with self._metrics.holding():
            try:
                await lease.keep(work)
            except LeaseLost as lost:
                self._count(lost.answer, held)
            except Exception:
                # Ours to mend: it stays pending and is tried again, until it has been tried too often.
                log.exception("could not do what an entry asks for", **held.context)
                self._count("error", held)

    async def _begin(self, held: Held, lease: ChunkLease, scored: Callable[[], None]) -> str:
        begun = await until_answered(lambda: self._queue.begin(held))
        if begun.answer != "ok":
            return begun.answer
        attempt = Attempt(held, held.tries + begun.deliveries, lease, begun.suspect, begun.letters, scored)
        try:
            if held.chunk == FINALISE:
                return await self._finaliser.do(attempt)
            spec = await self._inputs.spec(held.job)
            if begun.starts:
                log.info("job started", rows=spec.rows, chunks=spec.chunks, version=spec.model_version, **held.context)
            late = overdue(spec, utc_now())
            return await self._end(attempt, "expired", late) if late else await self._chunks.do(attempt)
        except JobImpossible as impossible:
            return await self._end(attempt, "failed", str(impossible))
        except StoreAway as away:
            log.warning("handing an entry back", reason=str(away), **attempt.context)
            await until_answered(lambda: self._queue.release(held))
            return "released"
        except EngineFailed as failed:
            log.warning("handing an entry back: the engine failed", reason=str(failed), **attempt.context)
            await until_answered(lambda: self._queue.release(held, failed=True))
            return "released"
        except EngineHangs as hangs:
            log.critical("ending this process: the engine hangs", reason=str(hangs), **attempt.context)
            await self._end_process(held)

    async def _end(self, attempt: Attempt, state: EndState, reason: str) -> str:
        held = attempt.held
        attempt.lease.settle()  # the job having ended, a renewal would take the entry for lost
        ended = await until_answered(lambda: self._decide(held.job, state, reason))
        if ended is not None:
            log.warning("job finished", reason=reason, **ended.outcome())
        try:
            await end_job(self._queue, self._store, held.job, state, reason)
        except Exception:
            # Its end is decided all the same; the janitor records it once the store lets it.
            log.exception("could not record the end of a job", state=state, reason=reason, **attempt.context)
        self._metrics.jobs.labels(state).inc()
        await until_answered(lambda: self._queue.begin(held))  # the job having ended, this drops the entry
        return state

    async def _end_process(self, held: Held) -> NoReturn:
        """Go at once, and let the chunk be isolated without waiting for its lease to end."""
        try:
            await asyncio.wait_for(self._queue.release(held, failed=True), CUT_OFF_SECONDS)
        finally:
            logging.shutdown()
            os._exit(EX_SOFTWARE)

    async def _decide(self, job_id: str, state: EndState, reason: str) -> JobStatus | None:
        """End a job, and return it; None if somebody else did, or it is gone."""
        status = await self._queue.status(job_id)
        if status is None or await self._queue.end(status, state, reason) in ("unknown", *TERMINAL):
            return None
        ended = await self._queue.status(job_id)
        return ended if ended is not None and ended.state == state else None  # what is finalised does not expire

    def _count(self, outcome: str, held: Held) -> None:
        self._metrics.chunks.labels(outcome).inc()
        if outcome == "lost":
            log.warning("lost a lease: another scorer has the chunk", **held.context)
