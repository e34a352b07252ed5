"""Submitting a job: receive the table, turn it into the job's input, and accept it once all of that is durable."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from secrets import token_hex
from typing import BinaryIO

from services.gateway.jobs.acceptance import Acceptance
from services.gateway.jobs.idempotency import Claim, Idempotency
from services.gateway.jobs.options import JobOptions, invalid_option
from services.gateway.jobs.parse import Parser, Spooled
from services.gateway.jobs.references import MAX_DOCUMENT, Sources, reference_in
from services.gateway.jobs.spool import path_of, receive, size_of, spool_file, steady, too_large
from services.gateway.jobs.versions import Versions
from services.gateway.problems import Problem
from services.gateway.settings import GatewaySettings
from services.gateway.tables import Format
from shared.clock import utc_now
from shared.engine import Model
from shared.jobs import JobSpec, JobStatus, new_job_id
from shared.keys import job_path
from shared.store import Store
from shared.telemetry import get_logger
from shared.webhooks import WebhookRefused, check_url

log = get_logger(__name__)


@dataclass(frozen=True)
class Upload:
    """The body of a request and what its headers and its query say of it."""

    stream: AsyncIterator[bytes]
    kind: Format
    coding: str = "identity"
    length: int | None = None
    idempotency_key: str | None = None
    request_id: str = ""
    options: JobOptions = field(default_factory=JobOptions)


class Submission:
    def __init__(
        self,
        settings: GatewaySettings,
        store: Store,
        *,
        versions: Versions,
        parser: Parser,
        acceptance: Acceptance,
        idempotency: Idempotency,
    ) -> None:
        self._settings = settings
        self._store = store
        self._versions = versions
        self._idempotency = idempotency
        self._acceptance = acceptance
        self._admission = acceptance.admission
        self._sources = Sources(settings.gateway_input_prefixes)
        self._parser = parser

    async def submit(self, upload: Upload) -> JobStatus:
        """Return the accepted job, or the one that was accepted before under the same idempotency key.

        Raises:
            Problem: it was refused; nothing was accepted.
        """
        if upload.length is not None and upload.length > self._settings.gateway_max_job_bytes:
            raise too_large(self._settings.gateway_max_job_bytes)
        self._check_webhook(upload.options.webhook)
        model = await self._versions.get(upload.options.version)
        if upload.idempotency_key is None:
            await self._admission.check()
            with self._admission.place(), spool_file(self._settings.spool_dir) as body:
                await self._received(upload, body)
                return await self._accept(new_job_id(), body, upload, model)
        async with self._idempotency.claim(upload.idempotency_key) as claim:
            if not await claim.known():  # a repeat takes no room
                await self._admission.check()
            with self._admission.place(), spool_file(self._settings.spool_dir) as body:
                return await self._once(claim, body, upload, model)

    async def _once(self, claim: Claim, body: BinaryIO, upload: Upload, model: Model) -> JobStatus:
        digest = await self._received(upload, body)
        fingerprint = f"{digest} {upload.kind.name} {upload.coding} {upload.options.fingerprint()}"
        reservation = await claim.settle(fingerprint, new_job_id())
        known = None if reservation.fresh else await self._acceptance.resumed(reservation.job_id)
        if known is not None:
            log.info("job repeated", job_id=known.id)
            return known
        try:
            return await self._accept(reservation.job_id, body, upload, model)
        except Problem:
            if reservation.fresh:  # else a gateway that was taken for dead may be about to get the job accepted
                await claim.forget()
            raise

    async def _received(self, upload: Upload, file: BinaryIO) -> str:
        limit, seconds = self._settings.gateway_max_job_bytes, self._settings.gateway_body_seconds
        return await receive(steady(upload.stream, seconds), file, limit)

    async def _accept(self, job_id: str, body: BinaryIO, upload: Upload, model: Model) -> JobStatus:
        # The name carries the attempt: two requests under one idempotency key must not overwrite each other.
        input_key = job_path(job_id, f"input-{token_hex(4)}.chunks")
        async with self._table(body, upload) as table, self._parser.turn():
            with spool_file(self._settings.spool_dir) as chunks:
                parsed = await self._parser.parse(table, upload.options.passthrough, model, chunks)
                now = utc_now()
                deadline = upload.options.deadline_at(now)
                await self._store.put_file(input_key, path_of(chunks))
        spec = JobSpec(
            id=job_id,
            tenant=self._settings.tenant,
            model_name=model.name,
            model_version=model.version,
            model_digest=model.digest,
            rows=parsed.chunked.rows,
            chunk_rows=parsed.chunk_rows,
            chunks=len(parsed.chunked.offsets) - 1,
            input_key=input_key,
            input_offsets=parsed.chunked.offsets,
            ignored_columns=parsed.ignored,
            passthrough=list(upload.options.passthrough),
            priority=upload.options.priority,
            deadline=deadline,
            webhook=upload.options.webhook,
            created_at=now,
            request_id=upload.request_id,
        )
        return await self._acceptance.enqueue(spec)

    @asynccontextmanager
    async def _table(self, body: BinaryIO, upload: Upload) -> AsyncIterator[Spooled]:
        """Yield the table: the body, or what it refers to."""
        small = upload.kind is Format.JSON and upload.coding == "identity" and size_of(body) <= MAX_DOCUMENT
        reference = reference_in(path_of(body).read_bytes()) if small else None
        if reference is None:
            yield Spooled(body, upload.kind, upload.coding)
            return
        with spool_file(self._settings.spool_dir) as file:
            kind = reference.kind
            async with aclosing(self._sources.pieces(reference)) as pieces:
                await receive(pieces, file, self._settings.gateway_max_job_bytes)
            yield Spooled(file, kind, reference.coding)

    def _check_webhook(self, url: str | None) -> None:
        try:
            if url is not None:
                check_url(url, self._settings)
        except WebhookRefused as refused:
            raise invalid_option("webhook", "refused", str(refused)) from refused
