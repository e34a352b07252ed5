"""Finding the rows that an engine cannot take, among many that it can. Pure: where rows are tried is a parameter."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.isolation import RowsFailed

Rows = NDArray[np.float64]


@dataclass(frozen=True)
class Condemned:
    """A row that failed alone, twice; or a block that failed once when there was no time to search it."""

    row: int
    """Position of the first one among the rows asked about."""
    failures: int
    """Trials that failed, with these rows among the rows tried."""
    reason: str
    rows: int = 1


class Bisection:
    """Predicts rows block by block, and halves a block that fails until the rows are found that made it fail.

    A row costs at most ceil(log2(rows)) + 2 failed trials, usually half as many.
    """

    def __init__(
        self, x: Rows, predict: Callable[[Rows], Awaitable[Rows]], in_time: Callable[[], bool] = lambda: True
    ) -> None:
        """`in_time`: whether there is time to halve a block; without, one that fails is condemned whole."""
        self.predictions = np.full(len(x), np.nan)
        """NaN for the condemned."""
        self.condemned: list[Condemned] = []
        self._x = x
        self._predict = predict
        self._in_time = in_time

    async def run(self) -> None:
        """Raises whatever `predict` raises, but RowsFailed."""
        if len(self._x):
            await self._search(0, len(self._x), failures=0, suspect=False)

    async def _search(self, first: int, end: int, *, failures: int, suspect: bool) -> bool:
        """Predict rows [first, end); returns whether all of them were taken.

        Args:
            failures: of the blocks that these rows were in.
            suspect: they failed in a block whose other half was taken: they need not be tried as a whole again.
        """
        alone, in_time = end - first == 1, self._in_time()
        trials = 2 if alone else 0 if suspect and in_time else 1  # a death alone may be somebody else's doing, once
        for _ in range(trials):
            reason = await self._try(first, end)
            if not reason:
                return True
            failures += 1
        if not alone and not in_time:
            reason = f"{reason}; no time was left to find out over which of {end - first} rows"
        if alone or not in_time:
            self.condemned.append(Condemned(first, failures, reason, end - first))
            return False
        middle = (first + end) // 2
        left = await self._search(first, middle, failures=failures, suspect=False)
        right = await self._search(middle, end, failures=failures, suspect=left)
        return left and right

    async def _try(self, first: int, end: int) -> str:
        """Return why it failed, or ""."""
        try:
            self.predictions[first:end] = await self._predict(self._x[first:end])
        except RowsFailed as failed:
            return str(failed)
        return ""
