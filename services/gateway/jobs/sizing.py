"""How many rows a chunk gets: enough work to make its round trips cheap, little enough that a lost one costs little."""

import os
import time
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from services.gateway.tables import Block, Table

AIM_SECONDS = 0.2  # of work in a chunk
LEAST_SECONDS = 0.04  # where it shares a small job with others: the trip of a chunk takes some 10 ms, of all processes
MOST_ROWS = 100_000
MOST_BYTES = 1 << 24
SHARES = 4  # chunks for each scorer, so that they finish together

# Reading and writing a row beside the engine, measured: 0.17 µs for five features.
ROW_SECONDS, FEATURE_SECONDS = 0.5e-7, 0.3e-7

_TRIAL_ROWS, _TRIALS = 256, 2


class Predicts(Protocol):
    @property
    def golden(self) -> NDArray[np.float64]: ...

    def predict(self, x: NDArray[np.float64]) -> NDArray[np.float64]: ...


def chunk_rows(rows: int, *, bytes_per_row: float, seconds_per_row: float, scorers: int) -> int:
    """Return the rows of a chunk.

    Args:
        rows: of the job, as far as one can tell.
        scorers: that live; each should get work, unless there is hardly any.
    """
    by_cost = AIM_SECONDS / seconds_per_row
    by_share = rows / (SHARES * max(1, scorers))
    least = LEAST_SECONDS / seconds_per_row
    most = min(MOST_ROWS, MOST_BYTES / bytes_per_row)
    return max(1, int(min(max(least, min(by_cost, by_share)), most)))


def seconds_per_row(model: Predicts, rows: int) -> float:
    """Measure what a row costs a scorer, with as many rows as there are, up to a limit.

    They are golden ones: a caller's may be poison, and must not meet an engine in a process that answers others.
    """
    x = np.resize(model.golden, (min(rows, _TRIAL_ROWS), model.golden.shape[1]))
    took = min(_timed(model, x) for _ in range(_TRIALS))
    return float(took / len(x) + ROW_SECONDS + FEATURE_SECONDS * x.shape[1])


def bytes_per_row(block: Block) -> float:
    """Return what a row takes in a chunk. Later rows may carry more than the first ones: room for twice that."""
    carried = 0 if block.carried is None else 2 * block.carried.nbytes / len(block.x)
    return float(block.x.shape[1] * block.x.itemsize + carried)


def estimated_rows(table: Table, file: BinaryIO, first: Block) -> int:
    """Return about how many rows a table has, whose first block has just been read from the file."""
    if table.rows is not None:
        return max(len(first.x), table.rows)
    read, size = file.tell(), os.fstat(file.fileno()).st_size
    return max(len(first.x), int(len(first.x) * size / max(1, read)))


def _timed(model: Predicts, x: NDArray[np.float64]) -> float:
    started = time.perf_counter()
    model.predict(x)
    return time.perf_counter() - started
