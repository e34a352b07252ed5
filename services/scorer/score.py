"""Scoring one chunk: bytes in, a part out. Pure, so that it may run in a thread."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shared.chunks import Chunk, ChunkInvalid, RowError, decode_chunk, encode_part
from shared.profile import Profile, Summary, summarise


class EngineFailed(RuntimeError):
    """The engine raised over a chunk. Which of its rows did that is not known."""


class Errors(Protocol):
    """Estimates how wrong predictions are."""

    def summarise(self, x: NDArray[np.float64]) -> Summary:
        """Return counters of the estimates for encoded rows. Never raises, and takes a sample of many rows."""
        ...


class Model(Protocol):
    """What scoring needs of a model."""

    @property
    def profile(self) -> Profile: ...

    @property
    def errors(self) -> Errors | None: ...

    def predict(self, x: NDArray[np.float64]) -> NDArray[np.float64]: ...


@dataclass(frozen=True)
class Scored:
    """An encoded part with what is to be told about it."""

    data: bytes
    sha256: str
    rows: int
    failed: int
    counts: Summary
    """Of the rows that have a prediction, in the profile's bins, and of estimates of their errors."""
    seconds: float
    """Engine time."""


@dataclass(frozen=True, eq=False)
class Rows:
    """A chunk, and those of its rows that the engine is to see."""

    chunk: Chunk
    good: NDArray[np.bool_]
    """Of every row of the chunk, whether it is one of them."""
    x: NDArray[np.float64]

    def indices(self) -> NDArray[np.int64]:
        """Return the position in the job of each row of `x`."""
        return self.chunk.start + np.flatnonzero(self.good)


def score_chunk(model: Model, data: bytes, start: int) -> Scored:
    """Score the encoded chunk that begins at row `start`; every row ends in a finite prediction or one error.

    Raises:
        ChunkInvalid: these bytes are no chunk, or not that one, or not of this model.
        EngineFailed
    """
    rows = read_rows(model, data, start)
    started = time.perf_counter()
    try:
        found = model.predict(rows.x) if len(rows.x) else np.empty(0)
    except Exception as error:  # an engine may raise anything
        raise EngineFailed(f"{type(error).__name__}: {error}") from error
    scored = conclude(model, rows, found, time.perf_counter() - started)
    return replace(scored, counts=scored.counts | _estimated(model, rows, found))


def _estimated(model: Model, rows: Rows, found: NDArray[np.float64]) -> Summary:
    """Only of chunks that are not isolated: rows that may kill a process never meet the error model."""
    if model.errors is None:
        return {}
    good = np.isfinite(found)
    return model.errors.summarise(rows.x if good.all() else rows.x[good])


def read_rows(model: Model, data: bytes, start: int) -> Rows:
    """Raises ChunkInvalid, as `score_chunk` does."""
    chunk = decode_chunk(data)
    width = len(model.profile.features)
    if chunk.start != start or chunk.x.shape[1] != width:
        raise ChunkInvalid(f"rows of {chunk.x.shape[1]} from {chunk.start}, expected rows of {width} from {start}")
    good = _without_errors(chunk)
    return Rows(chunk, good, chunk.x if good.all() else chunk.x[good])


def conclude(
    model: Model, rows: Rows, found: NDArray[np.float64], seconds: float, poison: Sequence[RowError] = ()
) -> Scored:
    """Make the part of a chunk from what the engine found for `rows.x`; of rows that are poison, it is NaN."""
    wrong = ~np.isfinite(found)
    errors = [*rows.chunk.errors, *poison]
    if wrong.any():
        counts = summarise(model.profile, rows.x[~wrong], found[~wrong])
        known = {error.index for error in poison}
        errors += (_not_finite(index) for index in rows.indices()[wrong].tolist() if index not in known)
    else:
        counts = summarise(model.profile, rows.x, found)
    predictions = found
    if len(found) < rows.chunk.rows:
        predictions = np.full(rows.chunk.rows, np.nan)
        predictions[rows.good] = found
    return _scored(replace(rows.chunk, errors=errors), predictions, counts, seconds)


def give_up(data: bytes, reason: str) -> Scored:
    """Return the part of an encoded chunk that cannot be scored: every row that had no error yet is `poison`.

    Raises:
        ChunkInvalid
    """
    chunk = decode_chunk(data)
    left = chunk.start + np.flatnonzero(_without_errors(chunk))
    errors = [*chunk.errors, *(RowError(index, "", "poison", reason) for index in left.tolist())]
    return _scored(replace(chunk, errors=errors), np.full(chunk.rows, np.nan), {"n": 0}, 0.0)


def _without_errors(chunk: Chunk) -> NDArray[np.bool_]:
    good = np.ones(chunk.rows, bool)
    good[[error.index - chunk.start for error in chunk.errors]] = False
    return good


def _not_finite(index: int) -> RowError:
    return RowError(index, "", "not_finite", "the model gave no finite number")


def _scored(chunk: Chunk, predictions: NDArray[np.float64], counts: Summary, seconds: float) -> Scored:
    """Encode what became of a chunk, whose errors are all of its errors by now."""
    data = encode_part(chunk.start, predictions, chunk.errors, chunk.carried)
    digest = hashlib.sha256(data).hexdigest()
    return Scored(data, digest, chunk.rows, len(chunk.errors), counts, seconds)
