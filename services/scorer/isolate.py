"""Scoring where a row may kill the process: in a disposable child, with rows that fail found by bisection."""

import asyncio
import time
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from services.scorer.bisect import Bisection
from services.scorer.inputs import Inputs
from shared.isolation import IsolatedEngine
from shared.jobs import JobSpec
from shared.telemetry import get_logger

IDLE_SECONDS = 5.0  # the child takes as much memory as the model does: it goes when no chunk needs it
LEAST_SECONDS = 5.0  # for however few rows
SEARCH_CHUNKS = 10  # a search may take so many times what a chunk may: one row that hangs takes four

log = get_logger(__name__)


class Isolation:
    """The isolated engine of a scorer: started when a chunk needs one, ended when none did for a while.

    One chunk at a time.
    """

    def __init__(self, inputs: Inputs, seconds: float) -> None:
        """`seconds`: what a whole chunk may take."""
        self._inputs = inputs
        self._seconds = seconds
        self._engine: IsolatedEngine | None = None
        self._digest = ""
        self._ending: asyncio.Task[None] | None = None

    async def predict(self, spec: JobSpec, x: NDArray[np.float64]) -> Bisection:
        """Predict the rows of a chunk, but those that the engine cannot take.

        Raises:
            JobImpossible, StoreAway
            CannotIsolate: nothing is known of any row.
        """
        engine = await self._ready(spec)
        until = time.monotonic() + SEARCH_CHUNKS * self._seconds
        bisection = Bisection(
            x,
            lambda rows: engine.predict(rows, time_limit(len(rows), len(x), self._seconds)),
            lambda: time.monotonic() < until,
        )
        try:
            await bisection.run()
        except BaseException:  # it may be in the midst of an answer that nobody waits for any more
            await self.end()
            raise
        self._ending = asyncio.create_task(self._end_when_idle())
        return bisection

    async def end(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.end()

    async def _ready(self, spec: JobSpec) -> IsolatedEngine:
        if self._ending is not None:
            self._ending.cancel()
        if self._engine is None or self._digest != spec.model_digest:
            await self.end()
            model, artifact = await self._inputs.model(spec), await self._inputs.artifact(spec)
            log.info(
                "isolating chunks in a process of their own",
                model=spec.model_name,
                version=spec.model_version,
                job_id=spec.id,
                request_id=spec.request_id,
            )
            self._engine = await IsolatedEngine.start(model.engine.name, artifact.onnx, model.golden)
            self._digest = spec.model_digest
        return self._engine

    async def _end_when_idle(self) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(IDLE_SECONDS)
            await self.end()


def time_limit(rows: int, whole: int, seconds: float) -> float:
    """Return the seconds that `rows` of a chunk of `whole` may take, if all of it may take `seconds`.

    Twice their share: a row that hangs is found in little more time than it takes to notice it, and rows that are only
    slow pass when they are fewer.
    """
    return min(seconds, max(LEAST_SECONDS, 2 * seconds * rows / whole))
