"""What predicting itself costs over HTTP: the gateway's own steps from body to answer, without all that is around.

Without ids, metrics, telemetry, limits, documentation: `python -m benchmarks.stripped PORT`, with a gateway's settings.
With `--plain` it is what one would write by hand, a function of ASGI on uvicorn's own protocol.
"""

import asyncio
import sys
import time
from typing import Any

import msgspec
import uvicorn

from services.gateway.decode import RowDecoder
from services.gateway.exchange import EXTENSION, Exchange, ExchangingProtocol
from services.gateway.predict import Answer
from services.gateway.reply import Reply
from services.gateway.settings import GatewaySettings
from shared import artifact
from shared.engine import Model, load_model
from shared.store import Store

JSON = ((b"content-type", b"application/json"),)


class Stripped:
    def __init__(self, model: Model) -> None:
        self._model = model
        self._decode = RowDecoder(model.signature).decode

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        exchange: Exchange | None = scope.pop("extensions", {}).get(EXTENSION)
        if exchange is not None and (whole := exchange.body()) is not None:
            exchange.answer(Reply(200, JSON, self._handle(whole)), "")
            return
        message = await receive()
        body = message["body"]
        while message["more_body"]:
            message = await receive()
            body += message["body"]
        answer = self._handle(body)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def _handle(self, body: bytes) -> bytes:
        read = self._decode(body)
        assert read is not None, "only good rows come here"
        started = time.perf_counter()
        prediction = self._model.predict_row(read.row)
        seconds = time.perf_counter() - started
        return msgspec.json.encode(
            Answer(prediction, self._model.name, self._model.version, seconds, "", list(read.warnings))
        )


async def _load(settings: GatewaySettings) -> Model:
    store = Store.open(settings.store_url)
    champion = await artifact.read_champion(store, settings.model_name)
    assert champion is not None, "nothing was trained"
    return load_model(await artifact.fetch(store, settings.model_name, champion.version, champion.digest))


if __name__ == "__main__":
    app = Stripped(asyncio.run(_load(GatewaySettings.load())))
    http: Any = "httptools" if "--plain" in sys.argv else ExchangingProtocol
    options: dict[str, Any] = {"http": http, "ws": "none", "lifespan": "off", "interface": "asgi3"}
    options |= {"access_log": False, "proxy_headers": False, "server_header": False, "log_level": "warning"}
    uvicorn.run(app, port=int(sys.argv[1]), **options)
