"""The routes that read what a job has produced."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from services.gateway.jobs import reading_documents as documents
from services.gateway.jobs.progress import matches, progress_headers
from services.gateway.jobs.results import etag
from services.gateway.jobs.selection import Readable, Selection, Wanted
from services.gateway.jobs.service import Jobs
from services.gateway.problems import ErrorItem, Problem
from services.gateway.results import OUTPUTS, Output, acceptable

JobId = Annotated[str, Path(alias="id", description="As in the answer to the submission.")]
Cursor = Annotated[int, Query(ge=0, description=documents.CURSOR)]
Limit = Annotated[int | None, Query(ge=1, description=documents.LIMIT)]
IfNoneMatch = Annotated[str | None, Header()]


def add_reading(router: APIRouter, jobs: Jobs) -> None:
    """Add the routes to that of the jobs: within a router of their own the metrics would not see their prefix."""

    @router.head("/{id}/results", include_in_schema=False)
    @router.get("/{id}/results", **documents.reading("The result of every row, in the order of the input"))
    async def results(
        request: Request, job_id: JobId, cursor: Cursor = 0, limit: Limit = None, if_none_match: IfNoneMatch = None
    ) -> Response:
        return await _document(jobs, request, job_id, Wanted(False, cursor, limit), if_none_match)

    @router.head("/{id}/errors", include_in_schema=False)
    @router.get("/{id}/errors", **documents.reading("The rows in error alone, in the order of the input"))
    async def errors(
        request: Request, job_id: JobId, cursor: Cursor = 0, limit: Limit = None, if_none_match: IfNoneMatch = None
    ) -> Response:
        return await _document(jobs, request, job_id, Wanted(True, cursor, limit), if_none_match)

    @router.get("/{id}/manifest", **documents.MANIFEST)
    async def manifest(job_id: JobId) -> Response:
        status = await jobs.lookup.find(job_id)
        found = await jobs.results.manifest(await jobs.results.readable(status))
        return JSONResponse(found.model_dump(mode="json"), headers=progress_headers(status))


async def _document(jobs: Jobs, request: Request, job_id: str, wanted: Wanted, if_none_match: str | None) -> Response:
    output = _output(request)
    readable = await jobs.results.readable(await jobs.lookup.find(job_id))
    if wanted.cursor > readable.status.rows:
        error = ErrorItem("#/query/cursor", "invalid", f"the job has {readable.status.rows:,} rows")
        raise Problem("invalid-parameter", f"cursor: {error.detail}", errors=[error])
    selection = await jobs.results.select(readable, wanted)
    headers = _headers(readable, selection, wanted, output)
    if if_none_match is not None and matches(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    if request.method == "HEAD":
        return _without_body(output.media_type, headers)
    body = jobs.results.stream(readable, selection, output, errors_only=wanted.errors_only)
    return StreamingResponse(body, media_type=output.media_type, headers=headers)


def _output(request: Request) -> Output:
    output = acceptable(request.headers.get("accept", ""))
    if output is None:
        known = ", ".join(o.media_type.split(";")[0] for o in OUTPUTS.values())
        raise Problem("not-acceptable", f"results come as {known}")
    return output


def _headers(readable: Readable, selection: Selection, wanted: Wanted, output: Output) -> dict[str, str]:
    name = f"{readable.status.id}-{'errors' if wanted.errors_only else 'results'}.{output.suffix}"
    headers = {
        "Cache-Control": "no-cache",
        "Content-Disposition": f'attachment; filename="{name}"',
        "ETag": etag(readable, selection, output, wanted),
        "Tasador-Rows": str(selection.rows),
        "Vary": "Accept",
    }
    if readable.partial:
        headers["Tasador-Partial"] = "true"
    if selection.next_cursor is not None:
        headers["Tasador-Next-Cursor"] = str(selection.next_cursor)
    return headers | progress_headers(readable.status)


def _without_body(media_type: str, headers: dict[str, str]) -> Response:
    async def nothing() -> Any:
        return
        yield b""

    return StreamingResponse(nothing(), media_type=media_type, headers=headers)  # says nothing of the body's length
