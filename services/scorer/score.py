"""Scoring one chunk: bytes in, a part out. Pure, so that it may run in a thread, or later in a child process."""

import hashlib
import time
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shared.chunks import Chunk, ChunkInvalid, RowError, decode_chunk, encode_part
from shared.profile import Profile, Summary, summarise


class Model(Protocol):
    """What scoring needs of a model."""

    @property
    def profile(self) -> Profile: ...

    def predict(self, x: NDArray[np.float64]) -> NDArray[np.float64]: ...


@dataclass(frozen=True)
class Scored:
    """An encoded part with what is to be told about it."""

    data: bytes
    sha256: str
    rows: int
    failed: int
    counts: Summary
    """Of the rows that have a prediction, in the profile's bins."""
    seconds: float
    """Engine time."""


def score_chunk(model: Model, data: bytes, start: int) -> Scored:
    """Score the encoded chunk that begins at row `start`; every row ends in a finite prediction or one error.

    Raises:
        ChunkInvalid: these bytes are no chunk, or not that one, or not of this model.
    """
    chunk = decode_chunk(data)
    width = len(model.profile.features)
    if chunk.start != start or chunk.x.shape[1] != width:
        raise ChunkInvalid(f"rows of {chunk.x.shape[1]} from {chunk.start}, expected rows of {width} from {start}")
    good = np.ones(chunk.rows, bool)
    good[[error.index - chunk.start for error in chunk.errors]] = False
    x = chunk.x if good.all() else chunk.x[good]
    started = time.perf_counter()
    found = model.predict(x) if len(x) else np.empty(0)
    seconds = time.perf_counter() - started
    predictions = np.full(chunk.rows, np.nan)
    predictions[good] = found
    errors = [*chunk.errors, *_not_finite(chunk.start, good & ~np.isfinite(predictions))]
    finite = np.isfinite(found)
    counts = summarise(model.profile, x[finite], found[finite])
    return _scored(replace(chunk, errors=errors), predictions, counts, seconds)


def give_up(data: bytes, reason: str) -> Scored:
    """Return the part of an encoded chunk that cannot be scored: every row of it is `poison`.

    Raises:
        ChunkInvalid
    """
    chunk = decode_chunk(data)
    errors = [RowError(index, "", "poison", reason) for index in range(chunk.start, chunk.start + chunk.rows)]
    return _scored(replace(chunk, errors=errors), np.full(chunk.rows, np.nan), {"n": 0}, 0.0)


def _not_finite(start: int, rows: NDArray[np.bool_]) -> list[RowError]:
    detail = "the model gave no finite number"
    return [RowError(start + int(row), "", "not_finite", detail) for row in np.flatnonzero(rows)]


def _scored(chunk: Chunk, predictions: NDArray[np.float64], counts: Summary, seconds: float) -> Scored:
    """Encode what became of a chunk, whose errors are all of its errors by now."""
    data = encode_part(chunk.start, predictions, chunk.errors, chunk.carried)
    digest = hashlib.sha256(data).hexdigest()
    return Scored(data, digest, chunk.rows, len(chunk.errors), counts, seconds)
