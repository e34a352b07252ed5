"""The routes under /jobs."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from services.gateway.jobs import documents
from services.gateway.jobs.idempotency import check_key
from services.gateway.jobs.options import JobOptions
from services.gateway.jobs.progress import etag, events, matches, progress_headers
from services.gateway.jobs.reading import JobId, add_reading
from services.gateway.jobs.service import Jobs
from services.gateway.jobs.spool import coding_of
from services.gateway.jobs.submit import Upload
from services.gateway.problems import Problem
from services.gateway.tables import FORMATS, format_of
from shared.jobs import Job, JobState

MAX_WAIT = 300  # seconds


def jobs_router(jobs: Jobs) -> APIRouter:
    router = APIRouter(prefix="/jobs", tags=["jobs"])

    @router.post("", **documents.submission(jobs.settings))
    async def submit(
        request: Request,
        options: Annotated[JobOptions, Query()],
        idempotency_key: Annotated[str | None, Header(description=documents.IDEMPOTENCY_KEY)] = None,
    ) -> Response:
        status = await jobs.submission.submit(_upload(request, idempotency_key, options))
        location = {"Location": f"/jobs/{status.id}"}
        return JSONResponse(Job.of(status).to_response(), 202, location | progress_headers(status))

    @router.get("", **documents.LISTING)
    async def listing(
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
        state: Annotated[JobState | None, Query(description="Only jobs in this state.")] = None,
    ) -> Response:
        page = await jobs.lookup.page(limit, cursor, state)
        found = [Job.of(status).to_response() for status in page.jobs]
        return JSONResponse({"jobs": found, "next_cursor": page.next_cursor})

    @router.get("/{id}", **documents.ONE)
    async def one(
        job_id: JobId,
        wait: Annotated[float, Query(ge=0, le=MAX_WAIT, description=documents.WAIT)] = 0,
        if_none_match: Annotated[str | None, Header()] = None,
    ) -> Response:
        status = await jobs.lookup.wait(
            job_id, wait, unless=lambda now: if_none_match is not None and not matches(if_none_match, etag(now))
        )
        headers = {"ETag": etag(status), "Cache-Control": "no-cache"} | progress_headers(status)
        if if_none_match is not None and matches(if_none_match, etag(status)):
            return Response(status_code=304, headers=headers)
        return JSONResponse(Job.of(status).to_response(), headers=headers)

    @router.delete("/{id}", **documents.CANCEL)
    async def cancel(job_id: JobId) -> Response:
        status = await jobs.cancel(job_id)
        return JSONResponse(Job.of(status).to_response(), headers=progress_headers(status))

    add_reading(router, jobs)

    @router.get("/{id}/events", **documents.EVENTS)
    async def progress(job_id: JobId) -> Response:
        status = await jobs.lookup.find(job_id)
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return StreamingResponse(events(jobs.lookup, status), media_type="text/event-stream", headers=headers)

    return router


def _upload(request: Request, key: str | None, options: JobOptions) -> Upload:
    headers = request.headers
    content_type = headers.get("content-type", "")
    kind = format_of(content_type)
    if kind is None:
        known = ", ".join(FORMATS)
        raise Problem(
            "unsupported-media-type",
            f"Content-Type {content_type[:100]!r} is not read here; send one of {known}, in UTF-8",
            headers={"Accept-Post": known},
        )
    length = headers.get("content-length")
    return Upload(
        stream=request.stream(),
        kind=kind,
        coding=coding_of(headers.get("content-encoding", "")),
        length=int(length) if length else None,
        idempotency_key=None if key is None else check_key(key),
        request_id=request.state.request_id,
        options=options,
    )
