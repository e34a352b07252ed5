"""The documentation pages of our HTTP services, on machines that reach nothing."""

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGES = ("/docs", "/redoc")
POLICY = b"img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'"


def keep_offline(app: Starlette) -> None:
    """Forbid the documentation pages to load anything from elsewhere; Redoc's bundle would fetch a logo."""
    for route in app.routes:
        if isinstance(route, Route) and route.path in PAGES:
            route.app = _with_policy(route.app)


def _with_policy(app: ASGIApp) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"content-security-policy", POLICY)]
            await send(message)

        await app(scope, receive, with_policy)

    return answer
