"""One scorer: `python -m services.scorer`."""

import asyncio
import logging
import os
import sys

import uvicorn

from services.scorer.scorer import build
from services.scorer.settings import ScorerSettings
from shared.process import AddressInUse, address_of, listen, stop_event, without_unused
from shared.settings import SettingsInvalid
from shared.telemetry import configure_logging, get_logger

log = get_logger(__name__)


async def serve(settings: ScorerSettings) -> bool:
    """Score until told to stop; returns whether the engine is still busy, with what will come to nothing."""
    with listen(settings.scorer_host, settings.scorer_port, "TASADOR_SCORER_PORT") as bound:
        scorer = build(settings, settings.scorer_address or address_of(bound))
        server = uvicorn.Server(uvicorn.Config(scorer.app, log_config=None, lifespan="off", access_log=False))
        stop = stop_event()
        async with scorer.replica:
            http = asyncio.create_task(server._serve([bound]))
            running = asyncio.create_task(scorer.run())
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({http, running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            log.info("stopping")
            running.cancel()
            await asyncio.wait({running})
            server.should_exit = True
            await http
        await scorer.redis.aclose()
    if not running.cancelled():
        await running  # it ended by itself: say why
    return scorer.chunks.computing


def main() -> int:
    without_unused()
    try:
        settings = ScorerSettings.load()
        configure_logging("scorer", settings)
        busy = asyncio.run(serve(settings))
    except (SettingsInvalid, AddressInUse) as refused:
        print(f"scorer: {refused}", file=sys.stderr)  # noqa: T201 - the logger may not be set up yet
        return 2
    if busy:
        # Python would wait for the thread, which nobody else does: its chunk was handed back.
        logging.shutdown()
        os._exit(0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
