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
from services.gateway.blocks import ScoredRows
from services.gateway.decode import Read, RowDecoder
from services.gateway.problems import Problem, unavailable
from services.gateway.rows import explained
from services.gateway.tally import Mode
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

    def add_failed(self, model: Model, mode: Mode, rows: int) -> None: ...


class Answer(msgspec.Struct, gc=False):
    """The answer to one row."""

    prediction: float
    model_name: str
    model_version: str
    inference_time: float
    request_id: str
    warnings: Sequence[RowWarning]


_encode = msgspec.json.Encoder().encode

SLOW_ROW_SECONDS = 0.002
"""Of a model: its rows are scored in a thread, which itself costs some 0.1 ms. All others hold the event loop."""


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
        self._decoder: tuple[Model, RowDecoder] | None = None
        # One thread each is enough: the engine uses one, and decoding holds the interpreter's lock.
        self._thread = ThreadPoolExecutor(1, "batch")
        self._slow_rows = ThreadPoolExecutor(1, "row")

    @property
    def slow(self) -> bool:
        """Whether `handle` would hold up others for too long: then it is for `handle_slowly`."""
        serving = self._follower.current
        return serving is not None and serving.model.row_seconds > SLOW_ROW_SECONDS

    def handle(self, body: bytes, request_id: str) -> bytes:
        """Answer one row.

        Raises:
            Problem: there is no answer.
        """
        model = self._model()
        row, warnings = self._read(model, body)
        try:
            prediction, seconds = _timed(model, row)
        except Exception:
            self._log.add_failed(model, "single", 1)
            raise
        self._log.add(model, request_id, row, prediction, seconds)
        return _encode(Answer(prediction, model.name, model.version, seconds, request_id, warnings))

    async def handle_slowly(self, body: bytes, request_id: str) -> bytes:
        """Answer one row; the event loop goes on while the engine works. Raises Problem."""
        model = self._model()
        row, warnings = self._read(model, body)
        loop = asyncio.get_running_loop()
        try:
            prediction, seconds = await loop.run_in_executor(self._slow_rows, _timed, model, row)
        except Exception:
            self._log.add_failed(model, "single", 1)
            raise
        self._log.add(model, request_id, row, prediction, seconds)
        return _encode(Answer(prediction, model.name, model.version, seconds, request_id, warnings))

    async def handle_batch(self, body: bytes, request_id: str) -> bytes:
        """Answer many rows; the event loop goes on meanwhile. Call it in `admitted()`. Raises Problem."""
        model = self._model()
        loop = asyncio.get_running_loop()
        try:
            scored = await loop.run_in_executor(self._thread, batch.score, model, body, request_id, self._max_rows)
        except batch.EngineFailed as failed:
            self._log.add_failed(model, "batch", failed.rows)
            raise
        self._log.add_batch(model, request_id, scored.rows)
        if scored.failed:
            self._log.add_failed(model, "batch", scored.failed)
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
        for thread in (self._thread, self._slow_rows):
            thread.shutdown(wait=False, cancel_futures=True)

    def _read(self, model: Model, body: bytes) -> Read:
        """Raises Problem."""
        if self._decoder is None or self._decoder[0] is not model:
            self._decoder = (model, RowDecoder(model.signature))
        return self._decoder[1].decode(body) or self._explained(model, body)

    def _explained(self, model: Model, body: bytes) -> Read:
        try:
            return explained(model, body)
        except Problem as problem:
            if problem.slug == "invalid-row":
                self._log.add_failed(model, "single", 1)
            raise

    def _model(self) -> Model:
        serving = self._follower.current  # read once: it changes under us
        if serving is None:
            raise unavailable("no-model", "no version is in service here yet")
        return serving.model


def _timed(model: Model, row: Sequence[float]) -> tuple[float, float]:
    started = time.perf_counter()
    prediction = model.predict_row(row)
    return prediction, time.perf_counter() - started
