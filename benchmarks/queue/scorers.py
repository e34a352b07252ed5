"""Scorers in one process, so that many fit a machine: `python -m benchmarks.queue.scorers NAME NUMBER`.

Each is whole, as `services.scorer` puts it together, in a thread with an event loop, connections and consumers of its
own; only its HTTP server is left out.
"""

import asyncio
import signal
import sys
import threading

from services.scorer.scorer import build
from services.scorer.settings import ScorerSettings
from shared.process import without_unused
from shared.telemetry import configure_logging


async def _score(settings: ScorerSettings) -> None:
    scorer = build(settings, "")
    async with scorer.replica:
        await scorer.run()


if __name__ == "__main__":
    without_unused()
    name, number = sys.argv[1], int(sys.argv[2])
    configure_logging("scorer", ScorerSettings.load())
    for one in range(number):
        settings = ScorerSettings.load(replica_id=f"{name}-{one}")
        threading.Thread(target=asyncio.run, args=(_score(settings),), daemon=True).start()
    signal.pause()
