"""`/health…`, `/metrics`, and the pages that a person lands on."""

import asyncio
import re
from collections.abc import Callable
from html import escape
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from services.gateway.errors import describe_statuses
from services.gateway.figures import Figures, Summary, summary, together
from services.gateway.fleet import PATH, Fleet, Together, Told, health_of
from services.gateway.health import Health
from services.gateway.problems import KINDS, Kind, Problem, unavailable
from services.gateway.routes import JSON


def health_router(report: Callable[[], Health], missing: Callable[[], list[str]], fleet: Fleet) -> APIRouter:
    """
    Args:
        missing: why requests should not be sent here.
    """
    router = APIRouter(prefix="/health", tags=["status"])

    @router.get("", summary="Can it predict, and what is not as it should be")
    async def health(request: Request) -> Health:
        workers = await fleet.asked(request.scope)
        return health_of(workers) if workers else report()

    @router.get("/live", summary="Does the process answer")
    async def live() -> dict[str, str]:
        return {"status": "alive"}

    @router.get("/ready", summary="Should requests be sent here", responses=describe_statuses("not-ready"))
    async def ready() -> dict[str, str]:
        if reasons := missing():
            raise unavailable("not-ready", "; ".join(reasons), retry_after=1)
        return {"status": "ready"}

    return router


def metrics_router(figures: Callable[[], Figures], registry: CollectorRegistry, fleet: Fleet) -> APIRouter:
    router = APIRouter(tags=["status"])

    @router.get(
        "/metrics",
        summary="For Prometheus, or a summary as JSON",
        responses={200: {"model": Summary, "content": {"text/plain": {}}}},
    )
    async def read(request: Request) -> Response:
        accept = request.headers.get("accept", "")
        workers = await fleet.asked(request.scope)
        if JSON in accept:
            told = [worker.told.figures for worker in workers if worker.told is not None]
            return JSONResponse(summary(together(told or [figures()])).model_dump())
        encode, media_type = choose_encoder(accept)
        if workers:  # 5 ms for each of them; what they told is nobody else's
            text = await asyncio.to_thread(encode, Together(workers))
        else:
            text = encode(registry)
        return Response(text, headers={"Content-Type": media_type})

    @router.get(PATH, include_in_schema=False)
    async def worker() -> Told:
        return fleet.tell()

    return router


def pages_router() -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def root() -> Response:
        return RedirectResponse("/docs")

    @router.get("/problems")
    async def problems(request: Request) -> Response:
        if JSON in request.headers.get("accept", ""):
            return JSONResponse([_problem(slug, kind) for slug, kind in KINDS.items()])
        rows = [
            f'<li><a href="/problems/{slug}">{escape(kind.title)}</a> ({kind.status})' for slug, kind in KINDS.items()
        ]
        return _page("Problems", "<ul>" + "\n".join(rows) + "</ul>")

    @router.get("/problems/{slug}")
    async def problem(slug: str, request: Request) -> Response:
        kind = KINDS.get(slug)
        if kind is None:
            raise Problem("not-found", f"there is no problem {slug[:100]!r}")
        if JSON in request.headers.get("accept", ""):
            return JSONResponse(_problem(slug, kind))
        body = f"<p>Status {kind.status} · <code>/problems/{slug}</code></p><p>{_code(kind.advice)}</p>"
        return _page(kind.title, body + '<p><a href="/problems">All problems</a></p>')

    return router


def _problem(slug: str, kind: Kind) -> dict[str, Any]:
    return {"type": f"/problems/{slug}", "title": kind.title, "status": kind.status, "advice": kind.advice}


def _code(text: str) -> str:
    return re.sub("`(.*?)`", r"<code>\1</code>", escape(text))


def _page(title: str, body: str) -> HTMLResponse:
    style = "body{font:16px/1.5 system-ui;max-width:42rem;margin:3rem auto;padding:0 1rem}"
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title><style>{style}</style>"
    return HTMLResponse(f"{head}<h1>{escape(title)}</h1>{body}</html>")
