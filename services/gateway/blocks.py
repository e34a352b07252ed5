"""Rows of one version in memory that is there before it is needed."""

import struct
import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.gateway.untold import Version
from shared.engine import Model

TIME, LATENCY, PREDICTION, INDEX, IS_BATCH, FEATURES = range(6)
"""Columns of a block; the features are the last ones."""


class ScoredRows(NamedTuple):
    """The rows of a batch that were scored."""

    indexes: NDArray[np.int64]
    """Of the rows in their request, shape (n,)."""
    rows: NDArray[np.float64]
    """Encoded, shape (n, F)."""
    predictions: NDArray[np.float64]
    seconds: float
    """Engine time per row."""


class Block:
    """Rows of one version."""

    def __init__(self, rows: int, features: int) -> None:
        self.columns = FEATURES + features
        self.values: NDArray[np.float64] = np.empty((rows, self.columns))
        self.memory = self.values.data
        self.request_ids = [""] * rows
        self.row_bytes = 8 * self.columns
        self.pack = struct.Struct(f"={self.columns}d").pack_into
        self.model: Model | None = None
        self.room = 0
        """Rows that it may hold this time."""
        self.n = 0
        self.counted = 0
        self.answered_before = 0

    @property
    def version(self) -> Version:
        assert self.model is not None
        return self.model.name, self.model.version

    def extend(self, request_id: str, scored: ScoredRows, some: slice) -> int:
        """Add some rows of a batch, for which there is room; return how many."""
        indexes, rows, predictions = scored.indexes[some], scored.rows[some], scored.predictions[some]
        here = slice(self.n, self.n + len(rows))
        for column, values in ((TIME, time.time()), (LATENCY, scored.seconds), (PREDICTION, predictions)):
            self.values[here, column] = values
        self.values[here, INDEX], self.values[here, IS_BATCH], self.values[here, FEATURES:] = indexes, 1.0, rows
        self.request_ids[here] = [request_id] * len(rows)
        self.n += len(rows)
        return len(rows)
