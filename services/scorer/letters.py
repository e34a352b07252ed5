"""What becomes of rows that the engine cannot take: an error each, and dead letters."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.scorer.attempt import Attempt
from services.scorer.bisect import Condemned
from shared.chunks import RowError
from shared.jobs import DeadLetter

# However many rows are poison: letters lie in Redis, with the parts as well, and in the record of the job's end.
MOST_OF_CHUNK, MOST_OF_JOB = 100, 1000


def poison(condemned: Sequence[Condemned], indices: NDArray[np.int64]) -> list[RowError]:
    """Return the error of each condemned row; `indices`: the position in the job of every row that was asked about."""
    return [
        RowError(index, "", "poison", found.reason)
        for found in condemned
        for index in indices[found.row : found.row + found.rows].tolist()
    ]


def dead_letters(attempt: Attempt, condemned: Sequence[Condemned], indices: NDArray[np.int64]) -> list[DeadLetter]:
    """Return the letters of a chunk, one for neighbours that failed alike: the first ones, if there are too many.

    Chunks in work at the same time may take a job beyond its bound, by what each of them may have.
    """
    spans: list[tuple[int, int, int, str]] = []  # first, end, deaths, reason
    for found in condemned:
        deaths = attempt.deliveries - 1 + found.failures
        for index in indices[found.row : found.row + found.rows].tolist():
            if spans and spans[-1][1] == index and spans[-1][3] == found.reason:
                first, _, most, _ = spans.pop()
                spans.append((first, index + 1, max(most, deaths), found.reason))
            else:
                spans.append((index, index + 1, deaths, found.reason))
    held, most = attempt.held, max(0, min(MOST_OF_CHUNK, MOST_OF_JOB - attempt.letters))
    return [
        DeadLetter(job_id=held.job, chunk=held.chunk, row=first, rows=end - first, deaths=deaths, reason=reason)
        for first, end, deaths, reason in spans[:most]
    ]
