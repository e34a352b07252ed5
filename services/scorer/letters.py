"""What becomes of rows that the engine cannot take: an error each, and dead letters."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.scorer.attempt import Attempt
from services.scorer.bisect import Condemned
from shared.chunks import RowError
from shared.jobs import DeadLetter

MOST_LETTERS = 100  # of one chunk: they lie in Redis with its part, however many rows are poison


def poison(condemned: Sequence[Condemned], indices: NDArray[np.int64]) -> list[RowError]:
    """Return the error of each condemned row; `indices`: the position in the job of every row that was asked about."""
    return [
        RowError(index, "", "poison", found.reason)
        for found in condemned
        for index in indices[found.row : found.row + found.rows].tolist()
    ]


def dead_letters(attempt: Attempt, condemned: Sequence[Condemned], indices: NDArray[np.int64]) -> list[DeadLetter]:
    """Return the letters of a chunk, one for neighbours that failed alike: the first MOST_LETTERS of them."""
    spans: list[tuple[int, int, int, str]] = []  # first, end, deaths, reason
    for found in condemned:
        deaths = attempt.deliveries - 1 + found.failures
        for index in indices[found.row : found.row + found.rows].tolist():
            if spans and spans[-1][1] == index and spans[-1][3] == found.reason:
                first, _, most, _ = spans.pop()
                spans.append((first, index + 1, max(most, deaths), found.reason))
            else:
                spans.append((index, index + 1, deaths, found.reason))
    held = attempt.held
    return [
        DeadLetter(job_id=held.job, chunk=held.chunk, row=first, rows=end - first, deaths=deaths, reason=reason)
        for first, end, deaths, reason in spans[:MOST_LETTERS]
    ]
