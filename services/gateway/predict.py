"""The use case of `/predict` and `/predict/batch`: bytes in, bytes out. No HTTP, no Redis.

Each request reads `current` once, so that no answer is mixed from two versions.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol

import msgspec

from services.gateway import batch
from services.gateway.buffer import ScoredRows
from services.gateway.decode import RowDecoder
from services.gateway.problems import unavailable
from services.gateway.rows import explained
from shared.engine import Model
from shared.follower import Serving
from shared.signature import RowWarning


class Follows(Protocol):
    """Knows the model in service."""

    @property
    def current(self) -> Serving | None: ...


class PredictionLog(Protocol):
    """Takes predictions that were answered; never blocks, never fails."""

    def add(self, model: Model, request_id: str, row: Sequence[float], prediction: float, seconds: float) -> None: ...

    def add_batch(self, model: Model, request_id: str, scored: ScoredRows) -> None: ...


class Answer(msgspec.Struct):
    """The answer to one row."""

    prediction: float
    model_name: str
    model_version: str
    inference_time: float
    request_id: str
    warnings: Sequence[RowWarning]


class Predictor:
    """Answers with the model in service.

    Args:
        max_rows: of a batch.
        max_batches: in memory at once.
    """

    def __init__(self, follower: Follows, log: PredictionLog, *, max_rows: int, max_batches: int) -> None:
        self._follower = follower
        self._log = log
        self._max_rows = max_rows
        self._max_batches = max_batches
        self._batches = 0
        self._decoders: tuple[Model, RowDecoder] | None = None
        # One thread is enough: the engine uses one, and decoding holds the interpreter's lock.
        self._thread = ThreadPoolExecutor(1, "batch")

    def handle(self, body: bytes, request_id: str) -> bytes:
        """Answer one row, on the calling thread: the engine takes some 50 µs, a thread hop as long.

        Raises:
            Problem: there is no answer.
        """
        model = self._model()
        row, warnings = self._decoder(model).decode(body) or explained(model, body)
        started = time.perf_counter()
        prediction = model.predict_row(row)
        seconds = time.perf_counter() - started
        answer = Answer(prediction, model.name, model.version, seconds, request_id, warnings)
        self._log.add(model, request_id, row, prediction, seconds)
        return msgspec.json.encode(answer)

    async def handle_batch(self, body: bytes, request_id: str) -> bytes:
        """Answer many rows; the event loop goes on meanwhile. Call it in `admitted()`. Raises Problem."""
        model = self._model()
        loop = asyncio.get_running_loop()
        scored = await loop.run_in_executor(self._thread, batch.score, model, body, request_id, self._max_rows)
        self._log.add_batch(model, request_id, scored.rows)
        return scored.answer

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Hold a place among the batches in memory. Raises Problem at once when all are taken."""
        if self._batches >= self._max_batches:
            raise unavailable("overloaded", f"{self._max_batches} batches are being answered already", retry_after=1)
        self._batches += 1
        try:
            yield
        finally:
            self._batches -= 1

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _decoder(self, model: Model) -> RowDecoder:
        if self._decoders is None or self._decoders[0] is not model:
            self._decoders = (model, RowDecoder(model.signature))
        return self._decoders[1]

    def _model(self) -> Model:
        serving = self._follower.current  # read once: it changes under us
        if serving is None:
            raise unavailable("no-model", "no version is in service here yet")
        return serving.model
