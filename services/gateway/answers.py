"""What `POST /predict` answers over HTTP, whoever carries it: the front, FastAPI's route, or a protocol of ours."""

from collections.abc import Mapping

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope

from services.gateway.bodies import receive_body, require_json
from services.gateway.errors import CLIENT_CLOSED
from services.gateway.predict import Predictor
from services.gateway.problems import Problem
from services.gateway.reply import Reply, refusal
from shared.telemetry import get_logger

_JSON = ((b"content-type", b"application/json"),)

log = get_logger(__name__)


def is_plain(head: Mapping[bytes, bytes]) -> bool:
    """Whether a body needs no closer look before it is taken for JSON."""
    return head.get(b"content-type") == b"application/json" and b"content-encoding" not in head


class PredictReplies:
    """Never raises: what goes wrong is an answer too."""

    def __init__(self, predictor: Predictor, *, max_bytes: int, body_seconds: float) -> None:
        self._predictor = predictor
        self.max_bytes = max_bytes
        self._body_seconds = body_seconds

    @property
    def at_once(self) -> bool:
        """Whether `answer` is quick enough to be called on the event loop."""
        return not self._predictor.slow

    def answer(self, body: bytes, request_id: str) -> Reply:
        """Answer a body that came whole and is said to be JSON."""
        try:
            return Reply(200, _JSON, self._predictor.handle(body, request_id))
        except Exception as error:
            return _instead(error, request_id)

    async def reply(self, scope: Scope, receive: Receive, request_id: str) -> Reply:
        """Answer a request of which the head has come."""
        try:
            headers = dict(reversed(scope["headers"]))  # of two with one name the first counts
            if not is_plain(headers):
                require_json(Request(scope))
            body = await receive_body(receive, headers.get(b"content-length"), self.max_bytes, self._body_seconds)
            if self.at_once:
                return self.answer(body, request_id)
            return Reply(200, _JSON, await self._predictor.handle_slowly(body, request_id))
        except Exception as error:
            return _instead(error, request_id)


def _instead(error: Exception, request_id: str) -> Reply:
    if isinstance(error, Problem):
        return refusal(error, request_id)
    if isinstance(error, ClientDisconnect):
        return Reply(CLIENT_CLOSED, [], b"")
    log.error("request failed", request_id=request_id, method="POST", path="/predict", exc_info=error)
    return refusal(Problem("internal-error", "the request could not be answered"), request_id)
