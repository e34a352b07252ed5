"""Scoring one chunk: bytes in, a part out. Pure, so that it may run in a thread, or later in a child process."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shared.chunks import ChunkInvalid, RowError, decode_chunk, encode_part
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
    return _scored(chunk.start, predictions, errors, counts, seconds)


def give_up(start: int, rows: int, reason: str) -> Scored:
    """Return the part of a chunk that cannot be scored: every row of it is `poison`."""
    errors = [RowError(index, "", "poison", reason) for index in range(start, start + rows)]
    return _scored(start, np.full(rows, np.nan), errors, {"n": 0}, 0.0)


def _not_finite(start: int, rows: NDArray[np.bool_]) -> list[RowError]:
    detail = "the model gave no finite number"
    return [RowError(start + int(row), "", "not_finite", detail) for row in np.flatnonzero(rows)]


def _scored(
    start: int, predictions: NDArray[np.float64], errors: Sequence[RowError], counts: Summary, seconds: float
) -> Scored:
    data = encode_part(start, predictions, errors)
    digest = hashlib.sha256(data).hexdigest()
    return Scored(data, digest, len(predictions), len(errors), counts, seconds)
