"""A pool of rows, and what each of them must end in, by version.

Jobs are made of rows of the pool in any order, so that what they must end in is known before they are submitted.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from shared.signature import Signature
from tasador.client import BatchPrediction, Client
from tasador.client.answers import Row
from tasador.torture.outcome import Expected
from tasador.torture.samples import ndjson, some_rows

ROWS = 2_000
BROKEN = 20


class Oracle:
    """Knows the rows of one signature."""

    def __init__(self, signature: Signature, seed: int, *, rows: int = ROWS, broken: int = BROKEN) -> None:
        self.signature = signature
        self.rows = some_rows(signature, rows, broken, seed)
        self._lines = ndjson(self.rows)
        self._valid = rows - broken
        self._drawn = rows
        self._condemned: dict[int, str] = {}
        self.number = _unused(signature)
        """Column that holds the number of each row."""
        self._expected: dict[str, Expected] = {}

    def add(self, row: Row, code: str) -> int:
        """Add a row that a job cannot score, whatever /predict/batch says of it; return its place. It is not drawn."""
        self.rows.append(row)
        self._lines += ndjson([row])
        self._condemned[len(self.rows) - 1] = code
        return len(self.rows) - 1

    def learn(self, client: Client) -> str:
        """Ask what every row of the pool gives with the version in service now; return that version."""
        answer = client.predict_batch(self.rows)
        same = Signature.model_validate(client.model_info().signature) == self.signature
        if same and answer.model_version not in self._expected:
            self._expected[answer.model_version] = _expected(answer, self._condemned)
        return answer.model_version

    def draw(self, count: int, broken: int, seed: int) -> NDArray[np.intp]:
        """Return rows of the pool for a table, as their places in it; so many of them broken."""
        chance = np.random.default_rng(seed)
        good = chance.integers(0, self._valid, count - broken)
        bad = chance.integers(self._valid, self._drawn, broken)
        return chance.permutation(np.concatenate([good, bad]))

    def body(self, places: NDArray[np.intp]) -> bytes:
        """Return a table as JSON lines; each row carries its number, too."""
        first = f'{{"{self.number}": '.encode()
        return b"".join(b"%b%d, %b" % (first, n, self._lines[place][1:]) for n, place in enumerate(places.tolist()))

    def valid(self, place: int) -> tuple[int, Row]:
        """Return a row that the model accepts, and its place."""
        return place % self._valid, self.rows[place % self._valid]

    def expected(self, version: str, places: NDArray[np.intp]) -> Expected | None:
        """Return what rows of the pool must end in; None for a version that was not asked."""
        known = self._expected.get(version)
        return known.take(places) if known else None

    def value(self, version: str, place: int) -> float | None:
        known = self._expected.get(version)
        return float(known.values[place]) if known else None


def _unused(signature: Signature) -> str:
    name = "row"
    while name in signature.names:
        name += "_"
    return name


def _expected(answer: BatchPrediction, condemned: Mapping[int, str]) -> Expected:
    values = np.array(answer.predictions, np.float64)  # None becomes NaN
    codes = np.full(answer.count, "", object)
    for error in reversed(answer.errors):  # a row's first error counts
        codes[error.index] = error.code
    for place, code in condemned.items():
        values[place], codes[place] = np.nan, code
    return Expected(values, codes)
