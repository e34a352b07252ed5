"""A chunk from its input to its commit."""

import asyncio
import time
from collections.abc import Sequence
from secrets import token_hex

from services.scorer.attempt import Attempt
from services.scorer.fleet import Fleet
from services.scorer.inputs import Inputs
from services.scorer.isolate import Isolation
from services.scorer.letters import dead_letters, poison
from services.scorer.metrics import Metrics
from services.scorer.patience import JobImpossible, insist, until_answered
from services.scorer.score import Scored, conclude, give_up, read_rows, score_chunk
from services.scorer.settings import ScorerSettings
from services.scorer.thread import EngineThread
from shared.chunks import ChunkInvalid
from shared.engine import Model
from shared.events import ChunkScored
from shared.jobs import DeadLetter, JobSpec, Part
from shared.keys import part_path
from shared.scripts import Committed, Held, JobQueue
from shared.store import Store
from shared.telemetry import get_logger

LOGGED = 10  # rows named in one line of the log

log = get_logger(__name__)


class ChunkWork:
    """Scores chunks and commits them: in a thread, or, if a row may kill the process, in another process."""

    def __init__(
        self, settings: ScorerSettings, queue: JobQueue, store: Store, *, inputs: Inputs, fleet: Fleet, metrics: Metrics
    ) -> None:
        self._limit = settings.scorer_max_rows_per_second
        self._max_deliveries = settings.scorer_max_deliveries
        self._queue = queue
        self._store = store
        self._inputs = inputs
        self._fleet = fleet
        self._metrics = metrics
        self._thread = EngineThread(settings.scorer_chunk_seconds)
        self._isolation = Isolation(inputs, settings.scorer_chunk_seconds)

    @property
    def computing(self) -> bool:
        """Whether the engine runs here: it cannot be interrupted."""
        return self._thread.computing

    async def end(self) -> None:
        """End what was started; a call of the engine ends with this process only."""
        await self._isolation.end()

    async def do(self, attempt: Attempt) -> str:
        """Score and commit; returns what became of the chunk.

        Raises:
            JobImpossible, StoreAway, EngineFailed, EngineHangs, CannotIsolate
        """
        spec = await self._inputs.spec(attempt.held.job)
        if attempt.deliveries > 2 * self._max_deliveries:  # reading its input is what kills scorers, it seems
            raise JobImpossible(f"chunk {attempt.held.chunk} cannot even be given up")
        if attempt.deliveries > self._max_deliveries:
            return await self._give_up(attempt, spec)
        scored, dead = await self._score(attempt, spec)
        return await self._commit(attempt, spec, scored, dead)

    async def _score(self, attempt: Attempt, spec: JobSpec) -> tuple[Scored, Sequence[DeadLetter]]:
        chunk, dead = attempt.held.chunk, list[DeadLetter]()
        model = await self._inputs.model(spec)
        data = await self._inputs.chunk(spec, chunk)
        try:
            if attempt.isolated:
                scored, dead = await self._score_isolated(attempt, spec, model, data)
            else:
                scored = await self._thread.run(lambda: score_chunk(model, data, spec.first_row(chunk)))
        except ChunkInvalid as invalid:
            raise JobImpossible(f"the job's input: {invalid}") from invalid
        if scored.rows != spec.rows_of(chunk):
            raise JobImpossible(f"the job's input: chunk {chunk} has {scored.rows} rows, not {spec.rows_of(chunk)}")
        if self._limit:
            await asyncio.sleep(scored.rows / self._limit - (time.monotonic() - attempt.started))
        return scored, dead

    async def _score_isolated(
        self, attempt: Attempt, spec: JobSpec, model: Model, data: bytes
    ) -> tuple[Scored, list[DeadLetter]]:
        """Score a chunk without trusting it. Rows that the engine cannot take end as dead letters."""
        rows = await self._thread.run(lambda: read_rows(model, data, spec.first_row(attempt.held.chunk)))
        started = time.perf_counter()
        bisection = await self._isolation.predict(spec, rows.x)
        seconds = time.perf_counter() - started
        indices = rows.indices()
        errors = poison(bisection.condemned, indices)
        self._metrics.isolated.inc()
        self._metrics.condemned.inc(len(errors))
        if errors:
            first = [error.index for error in errors[:LOGGED]]
            log.error("rows that the engine cannot take", count=len(errors), first=first, **attempt.context)
        scored = await self._thread.run(lambda: conclude(model, rows, bisection.predictions, seconds, errors))
        return scored, dead_letters(attempt, bisection.condemned, indices)

    async def _give_up(self, attempt: Attempt, spec: JobSpec) -> str:
        held, deaths = attempt.held, attempt.deliveries - 1
        reason = f"its chunk was given up after {deaths} attempts without result"
        first, rows = spec.first_row(held.chunk), spec.rows_of(held.chunk)
        log.error("giving a chunk up", rows=rows, **attempt.context)
        letter = DeadLetter(job_id=held.job, chunk=held.chunk, row=first, rows=rows, reason=reason, deaths=deaths)
        data = await self._inputs.chunk(spec, held.chunk)
        try:
            scored = await self._thread.run(lambda: give_up(data, reason))
        except ChunkInvalid as invalid:
            raise JobImpossible(f"the job's input: {invalid}") from invalid
        answer = await self._commit(attempt, spec, scored, [letter])
        return "given_up" if answer == "ok" else answer

    async def _commit(
        self, attempt: Attempt, spec: JobSpec, scored: Scored, dead: Sequence[DeadLetter] = ()
    ) -> Committed:
        """Store the part first: when Redis hears of it, it is durable. Its name is this attempt's alone."""
        if not attempt.isolated:  # it was unlucky once: rows of the next one must not end this process under it again
            attempt.scored()
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
            log.debug("chunk scored", rows=scored.rows, failed=scored.failed, seconds=round(took, 4), **attempt.context)
        return answer

    async def _put(self, held: Held, scored: Scored) -> str:
        """Write a part under a name of its own: a write that failed may have happened all the same."""
        key = part_path(held.job, held.chunk, token_hex(6))
        await self._store.put_new(key, scored.data)
        return key


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
