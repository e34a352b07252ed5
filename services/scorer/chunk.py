"""A chunk from its input to its commit."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from secrets import token_hex
from typing import TypeVar

from services.scorer.attempt import Attempt
from services.scorer.fleet import Fleet
from services.scorer.inputs import Inputs
from services.scorer.metrics import Metrics
from services.scorer.patience import JobImpossible, insist, until_answered
from services.scorer.score import Scored, give_up, score_chunk
from services.scorer.settings import ScorerSettings
from shared.chunks import ChunkInvalid
from shared.events import ChunkScored
from shared.jobs import DeadLetter, JobSpec, Part
from shared.keys import part_path
from shared.scripts import Committed, Held, JobQueue
from shared.store import Store
from shared.telemetry import get_logger

T = TypeVar("T")
log = get_logger(__name__)


class ChunkWork:
    """Scores chunks in a thread and commits them."""

    def __init__(
        self, settings: ScorerSettings, queue: JobQueue, store: Store, *, inputs: Inputs, fleet: Fleet, metrics: Metrics
    ) -> None:
        self.computing = False
        """Whether the engine runs: it cannot be interrupted."""
        self._limit = settings.scorer_max_rows_per_second
        self._max_deliveries = settings.scorer_max_deliveries
        self._queue = queue
        self._store = store
        self._inputs = inputs
        self._fleet = fleet
        self._metrics = metrics
        # One thread: a chunk whose lease was lost has to leave it before the next one may enter.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")

    async def do(self, attempt: Attempt) -> str:
        """Score and commit; returns what became of the chunk.

        Raises:
            JobImpossible, StoreAway
        """
        spec = await self._inputs.spec(attempt.held.job)
        if attempt.deliveries > self._max_deliveries:
            return await self._give_up(attempt, spec)
        return await self._commit(attempt, spec, await self._score(attempt, spec))

    async def _score(self, attempt: Attempt, spec: JobSpec) -> Scored:
        chunk = attempt.held.chunk
        model = await self._inputs.model(spec)
        data = await self._inputs.chunk(spec, chunk)
        try:
            scored = await self._in_thread(lambda: score_chunk(model, data, spec.first_row(chunk)))
        except ChunkInvalid as invalid:
            raise JobImpossible(f"the job's input: {invalid}") from invalid
        if scored.rows != spec.rows_of(chunk):
            raise JobImpossible(f"the job's input: chunk {chunk} has {scored.rows} rows, not {spec.rows_of(chunk)}")
        if self._limit:
            await asyncio.sleep(scored.rows / self._limit - (time.monotonic() - attempt.started))
        return scored

    async def _give_up(self, attempt: Attempt, spec: JobSpec) -> str:
        held, deaths = attempt.held, attempt.deliveries - 1
        reason = f"its chunk was given up after {deaths} attempts without result"
        first, rows = spec.first_row(held.chunk), spec.rows_of(held.chunk)
        log.error("giving a chunk up", **attempt.context)
        letter = DeadLetter(job_id=held.job, chunk=held.chunk, row=first, rows=rows, reason=reason, deaths=deaths)
        data = await self._inputs.chunk(spec, held.chunk)
        scored = await self._in_thread(lambda: give_up(data, reason))
        answer = await self._commit(attempt, spec, scored, [letter])
        return "given_up" if answer == "ok" else answer

    async def _commit(
        self, attempt: Attempt, spec: JobSpec, scored: Scored, dead: Sequence[DeadLetter] = ()
    ) -> Committed:
        """Store the part first: when Redis hears of it, it is durable. Its name is this attempt's alone."""
        held = attempt.held
        key = await insist("writing a part", lambda: self._put(held, scored))
        part = Part(key=key, sha256=scored.sha256, rows=scored.rows, failed=scored.failed, dead_letters=tuple(dead))
        event = _event(attempt, spec, scored)
        attempt.lease.settle()
        answer, dropped = await until_answered(
            lambda: self._queue.commit(
                held,
                part,
                window=self._fleet.window,
                event=event,
                event_bytes=self._fleet.event_bytes,
            )
        )
        if answer == "ok":
            took = time.monotonic() - attempt.started
            self._metrics.committed(scored.rows, scored.failed, dropped, engine=scored.seconds, took=took)
        return answer

    async def _put(self, held: Held, scored: Scored) -> str:
        """Write a part under a name of its own: a write that failed may have happened all the same."""
        key = part_path(held.job, held.chunk, token_hex(6))
        await self._store.put_new(key, scored.data)
        return key

    async def _in_thread(self, call: Callable[[], T]) -> T:
        def watched() -> T:
            self.computing = True
            try:
                return call()
            finally:
                self.computing = False

        return await asyncio.get_running_loop().run_in_executor(self._thread, watched)


def _event(attempt: Attempt, spec: JobSpec, scored: Scored) -> ChunkScored:
    return ChunkScored(
        job_id=spec.id,
        chunk=attempt.held.chunk,
        rows=scored.rows,
        failed=scored.failed,
        model_name=spec.model_name,
        model_version=spec.model_version,
        seconds=scored.seconds,
        counts=scored.counts,
    )
