"""Submitting a job: receive the body, turn it into the job's input, and accept it once all of that is durable."""

import asyncio
import errno
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from services.gateway.jobs.chunked import Chunked, write_chunks
from services.gateway.jobs.fleet import Fleet
from services.gateway.jobs.idempotency import Idempotency
from services.gateway.jobs.refusals import as_problem
from services.gateway.jobs.spool import decoded, path_of, receive, spool_file, too_large
from services.gateway.problems import Problem, unavailable
from services.gateway.settings import GatewaySettings
from services.gateway.tables import Format, TableLimits, TableRefused, open_table
from shared.engine import Model
from shared.follower import ModelFollower
from shared.jobs import JobSpec, JobStatus, new_job_id, target_window
from shared.keys import job_path
from shared.records import read_spec, submit_job
from shared.scripts import JobQueue
from shared.store import ObjectNotFound, Store
from shared.telemetry import get_logger

PARSERS = 2  # tables read at once; more would only take each other's processor and memory

log = get_logger(__name__)


@dataclass(frozen=True)
class Upload:
    """The body of a request and what its headers say of it."""

    stream: AsyncIterator[bytes]
    kind: Format
    coding: str = "identity"
    length: int | None = None
    idempotency_key: str | None = None
    request_id: str = ""


class Submission:
    def __init__(
        self,
        settings: GatewaySettings,
        store: Store,
        queue: JobQueue,
        follower: ModelFollower,
        *,
        fleet: Fleet,
        idempotency: Idempotency,
    ) -> None:
        self._settings = settings
        self._store = store
        self._queue = queue
        self._follower = follower
        self._fleet = fleet
        self._idempotency = idempotency
        self._uploads = 0
        self._parsers = asyncio.Semaphore(PARSERS)
        self._limits = TableLimits(settings.gateway_max_document_bytes, settings.gateway_max_record_batch_bytes)

    async def submit(self, upload: Upload) -> JobStatus:
        """Return the accepted job, or the one that was accepted before under the same idempotency key.

        Raises:
            Problem: it was refused; nothing was accepted.
        """
        serving = self._follower.current
        if serving is None:
            raise unavailable("no-model", "no version of the model is in service")
        if upload.length is not None and upload.length > self._settings.gateway_max_job_bytes:
            raise too_large(self._settings.gateway_max_job_bytes)
        await self._check_backlog()
        with self._slot(), _enough_disk(), spool_file(self._directory) as body:
            digest = await receive(upload.stream, body, self._settings.gateway_max_job_bytes)
            job_id = new_job_id()
            if upload.idempotency_key is None:
                return await self._accept(job_id, body, upload, serving.model)
            fingerprint = f"{digest} {upload.kind.name} {upload.coding}"
            reservation = await self._idempotency.reserve(upload.idempotency_key, fingerprint, job_id)
            known = None if reservation.fresh else await self._resumed(reservation.job_id)
            if known is not None:
                return known
            try:
                return await self._accept(reservation.job_id, body, upload, serving.model)
            except Problem:
                if reservation.fresh:  # else somebody else may be about to get the job accepted
                    await self._idempotency.forget(upload.idempotency_key)
                raise

    async def _accept(self, job_id: str, body: BinaryIO, upload: Upload, model: Model) -> JobStatus:
        with spool_file(self._directory) as chunks:
            async with self._parsers:
                try:
                    chunked, ignored = await asyncio.to_thread(self._parse, body, upload, model, chunks)
                except TableRefused as refused:
                    raise as_problem(refused) from refused
            # The name carries the attempt: two requests under one idempotency key must not overwrite each other.
            input_key = job_path(job_id, f"input-{token_hex(4)}.chunks")
            await self._store.put_file(input_key, path_of(chunks))
        spec = JobSpec(
            id=job_id,
            tenant=self._settings.tenant,
            model_name=model.name,
            model_version=model.version,
            model_digest=model.digest,
            rows=chunked.rows,
            chunk_rows=self._settings.gateway_chunk_rows,
            chunks=len(chunked.offsets) - 1,
            input_key=input_key,
            input_offsets=chunked.offsets,
            ignored_columns=ignored,
            request_id=upload.request_id,
        )
        return await self._enqueue(spec)

    def _parse(self, body: BinaryIO, upload: Upload, model: Model, chunks: BinaryIO) -> tuple[Chunked, list[str]]:
        limit = self._settings.gateway_max_job_bytes
        with decoded(body, upload.coding, limit, self._directory) as plain:
            table = open_table(upload.kind, plain, model.signature, self._limits)
            chunked = write_chunks(
                table.blocks(),
                chunks,
                chunk_rows=self._settings.gateway_chunk_rows,
                max_rows=self._settings.gateway_max_job_rows,
            )
        return chunked, list(table.ignored_columns)

    async def _enqueue(self, spec: JobSpec) -> JobStatus:
        limit = self._settings.gateway_max_backlog_rows
        window = target_window(await self._fleet.scorers())
        answer = await submit_job(self._queue, self._store, spec, window=window, backlog_limit_rows=limit)
        if answer == "ok":
            log.info("job accepted", job_id=spec.id, rows=spec.rows, version=spec.model_version)
            return JobStatus.submitted(spec)
        await self._store.delete(spec.input_key)
        if answer == "busy":
            raise await self._busy(await self._queue.backlog() + spec.rows - limit)
        known = await self._resumed(spec.id)
        if known is None:  # the other request of this key has just been refused
            raise unavailable("overloaded", "another request with this Idempotency-Key got in the way", retry_after=1)
        return known

    async def _resumed(self, job_id: str) -> JobStatus | None:
        """Return the job that an earlier request made, put back into the queue if it did not get so far."""
        status = await self._queue.status(job_id)
        if status is not None:
            return status
        try:
            spec = await read_spec(self._store, job_id)
        except ObjectNotFound:
            return None
        await self._queue.submit(spec, target_window(await self._fleet.scorers()))
        return await self._queue.status(job_id)

    async def _check_backlog(self) -> None:
        """Refuse before the body is read what would be refused after it; also finds out whether Redis is there."""
        over = await self._queue.backlog() - self._settings.gateway_max_backlog_rows
        if over >= 0:
            raise await self._busy(over)

    async def _busy(self, over: int) -> Problem:
        seconds = await self._fleet.seconds_for(over)
        limit = self._settings.gateway_max_backlog_rows
        return Problem("over-quota", f"the backlog is limited to {limit:,} rows", headers={"Retry-After": str(seconds)})

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if self._uploads >= self._settings.gateway_max_uploads:
            raise unavailable("overloaded", f"{self._uploads} jobs are being received")
        self._uploads += 1
        try:
            yield
        finally:
            self._uploads -= 1

    @property
    def _directory(self) -> Path:
        return self._settings.gateway_spool_dir or self._settings.state_dir / "spool"


@contextmanager
def _enough_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        log.error("the disk is full", error=str(error))
        raise unavailable("overloaded", "there is no disk left to receive this", retry_after=60) from error
