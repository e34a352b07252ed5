"""The routes under /dead-letters."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from services.gateway.bodies import parse_model, read_body, require_json
from services.gateway.dead_letters import documents
from services.gateway.dead_letters.documents import DeadLetterItem, OpenedDeadLetter, RedriveOptions, RedriveOrder
from services.gateway.dead_letters.service import Letters
from services.gateway.settings import GatewaySettings
from shared.jobs import Job

MAX_BODY_BYTES = 1 << 20  # of 10,000 ids
RETRY_AFTER = "1"  # seconds, for the job's first look

LetterId = Annotated[str, Path(alias="id", description="`<job>:<row>`, as listed.")]


def dead_letters_router(letters: Letters, settings: GatewaySettings) -> APIRouter:
    router = APIRouter(prefix="/dead-letters", tags=["dead letters"])

    @router.get("", **documents.LISTING)
    async def listing(
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
        job: Annotated[str | None, Query(description="Only those of this job.")] = None,
    ) -> Response:
        page = await letters.page(limit, cursor, job)
        found = [DeadLetterItem.of(letter).model_dump(mode="json") for letter in page.letters]
        return JSONResponse({"dead_letters": found, "next_cursor": page.next_cursor})

    @router.delete("", **documents.DROP_ALL)
    async def drop_all(job: Annotated[str, Query(description="Whose letters to drop.")]) -> Response:
        return JSONResponse({"dropped": await letters.drop_all(job)})

    @router.post("/redrive", **documents.REDRIVE)
    async def redrive(request: Request, options: Annotated[RedriveOptions, Query()]) -> Response:
        body = await read_body(request, MAX_BODY_BYTES, settings.gateway_body_seconds)
        require_json(request)
        order = parse_model(body, RedriveOrder, documents.EXPECTED)
        request_id = request.state.request_id
        if order.ids:
            status = await letters.redrive(order.ids, options.version, request_id)
        else:
            status = await letters.redrive_all(order.job, options.version, request_id)
        headers = {"Location": f"/jobs/{status.id}", "Retry-After": RETRY_AFTER}
        return JSONResponse(Job.of(status).to_response(), 202, headers)

    @router.get("/{id}", **documents.ONE)
    async def one(letter_id: LetterId) -> Response:
        return JSONResponse(OpenedDeadLetter.opened(await letters.open(letter_id)).model_dump(mode="json"))

    @router.delete("/{id}", **documents.DROP)
    async def drop(letter_id: LetterId) -> Response:
        await letters.drop(letter_id)
        return Response(status_code=204)

    return router
