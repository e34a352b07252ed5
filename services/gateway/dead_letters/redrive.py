"""Scoring dead letters once more: their rows become a new job."""

import asyncio
import hashlib
from collections.abc import Sequence
from secrets import token_hex
from typing import Any

from redis.asyncio import Redis

from services.gateway.dead_letters.originals import InputGone, Original, Originals
from services.gateway.dead_letters.translate import translate
from services.gateway.jobs.acceptance import Acceptance
from services.gateway.jobs.chunked import Chunked, ChunkWriter
from services.gateway.jobs.spool import path_of, spool_file
from services.gateway.problems import ErrorItem, Problem, pointer
from services.gateway.settings import GatewaySettings
from services.gateway.tables import Block
from shared.dead_letters import DeadLetters
from shared.engine import Model
from shared.jobs import DeadLetter, JobSpec, JobStatus, new_job_id
from shared.keys import Keys, job_path
from shared.store import Store
from shared.telemetry import get_logger

CHUNK_ROWS = 100  # rows that killed an engine before: few together, so that they keep few scorers busy
CARRIED = ("job", "row")
"""What a row of the new job brings along: where it comes from."""

log = get_logger(__name__)


class Redrive:
    """Makes jobs of letters, one at a time, with one chunk of an old input in memory.

    The same letters and the same version always mean the same job: its id is settled before anything else, so whoever
    repeats a request whose answer was lost, or whose gateway died half-way, gets that job.
    """

    def __init__(
        self, settings: GatewaySettings, store: Store, redis: Redis, letters: DeadLetters, acceptance: Acceptance
    ) -> None:
        self._settings = settings
        self._store = store
        self._redis = redis
        self._keys = Keys(settings.tenant)
        self._letters = letters
        self._acceptance = acceptance
        self._one_at_a_time = asyncio.Lock()

    async def start(self, ids: Sequence[str], model: Model, request_id: str) -> JobStatus:
        """Return the accepted job; its letters have left the list.

        Raises:
            Problem: a letter, or its input, is not there any more; or the backlog is full. Nothing was accepted.
        """
        async with self._one_at_a_time:
            job_id = await self._settled(ids, model)
            status = await self._acceptance.resumed(job_id)
            if status is None:
                status = await self._accept(job_id, await self._found(ids), model, request_id)
        await self._letters.drop(ids)
        return status

    async def _settled(self, ids: Sequence[str], model: Model) -> str:
        named = hashlib.sha256("\n".join([model.digest, *sorted(ids)]).encode()).hexdigest()
        ours, seconds = new_job_id(), max(1, round(self._settings.gateway_idempotency_hours * 3600))
        found: Any = await self._redis.set(self._keys.redrive(named), ours, nx=True, get=True, ex=seconds)
        return ours if found is None else str(found)

    async def _found(self, ids: Sequence[str]) -> Sequence[DeadLetter]:
        letters = await self._letters.get(ids)
        if missing := set(ids) - {letter.id for letter in letters}:
            items = [
                ErrorItem(pointer("ids", place), "not_found", f"there is no dead letter {each[:100]!r}")
                for place, each in enumerate(ids)
                if each in missing
            ]
            raise Problem("dead-letter-not-found", items[0].detail, errors=items)
        return letters

    async def _accept(self, job_id: str, letters: Sequence[DeadLetter], model: Model, request_id: str) -> JobStatus:
        # The name carries the attempt: two requests at two gateways must not overwrite each other.
        input_key = job_path(job_id, f"input-{token_hex(4)}.chunks")
        chunked = await self._write(letters, model, input_key)
        spec = JobSpec(
            id=job_id,
            tenant=self._settings.tenant,
            model_name=model.name,
            model_version=model.version,
            model_digest=model.digest,
            rows=chunked.rows,
            chunk_rows=CHUNK_ROWS,
            chunks=len(chunked.offsets) - 1,
            input_key=input_key,
            input_offsets=chunked.offsets,
            passthrough=list(CARRIED),
            suspect=True,
            request_id=request_id,
        )
        log.info("redriving dead letters", job_id=job_id, letters=len(letters), rows=spec.rows)
        return await self._acceptance.enqueue(spec)

    async def _write(self, letters: Sequence[DeadLetter], model: Model, input_key: str) -> Chunked:
        with self._acceptance.admission.place(), spool_file(self._settings.spool_dir) as file:
            writer = ChunkWriter(file, CHUNK_ROWS)
            try:
                async for original in Originals(self._store).read(letters):
                    await asyncio.to_thread(lambda rows: writer.add(_block(rows, model)), original)
            except InputGone as gone:
                raise _input_gone(gone, letters) from gone
            await asyncio.to_thread(writer.flush)
            await self._store.put_file(input_key, path_of(file))
            return writer.chunked


def _block(original: Original, model: Model) -> Block:
    import pyarrow as pa  # noqa: PLC0415 - a third of a second that a gateway without jobs need not spend

    block = translate(original.x, original.errors, original.signature, model.signature)
    letter = original.letter
    rows = range(letter.row, letter.row + letter.rows)
    columns = [pa.array([letter.job_id] * len(rows), pa.string()), pa.array(rows, pa.int64())]
    return Block(block.x, block.errors, pa.record_batch(columns, names=list(CARRIED)))


def _input_gone(gone: InputGone, letters: Sequence[DeadLetter]) -> Problem:
    items = [
        ErrorItem("", "gone", f"dead letter {letter.id} has no input any more")
        for letter in letters
        if letter.job_id == gone.job_id
    ]
    return Problem("input-gone", str(gone), errors=items[:100])
