"""Linear models without C: the operations of kernel.c in their order, so the same bits."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from shared.kernel import PLAIN_NAME
from shared.kernel.columns import Column, Operation
from shared.kernel.plan import Linear
from shared.kernel.rows import Matrix, checked

BLOCK_ROWS = 4096  # bounds the memory


class PlainEngine:
    """numpy rounds after every operation, as C does when it is told not to fuse any."""

    name = PLAIN_NAME

    def __init__(self, inputs: int, linear: Linear) -> None:
        self._inputs, self._linear = inputs, linear
        self._groups = _grouped(linear.columns)

    def run(self, x: Matrix) -> Matrix:
        rows = checked(x, self._inputs)
        out = np.empty((len(rows), self._linear.targets))
        with np.errstate(all="ignore"):  # C says nothing either
            for start in range(0, len(rows), BLOCK_ROWS):
                some = slice(start, start + BLOCK_ROWS)
                out[some] = self._sums(rows[some])
        return out

    def run_row(self, row: Sequence[float]) -> float:
        return float(self.run(np.array([row], np.float64))[0, 0])

    def _sums(self, rows: Matrix) -> Matrix:
        z = np.empty((len(rows), len(self._linear.columns)))
        for group in self._groups:
            z[:, group.places] = group.compute(rows)
        sums = [_sum(z * weights) for weights in self._linear.weights.T]
        return np.stack(sums, axis=1) + self._linear.intercept


def _sum(products: Matrix) -> Matrix:
    """Add the columns from the first to the last: `sum` would take another order."""
    products[:, 0] += 0.0  # as a sum that starts from 0: of -0 it makes 0
    total: Matrix = np.add.accumulate(products, axis=1)[:, -1]
    return total


@dataclass(frozen=True, eq=False)
class _Group:
    """Columns that take the same steps, with constants of their own."""

    places: list[int]
    sources: list[int]
    steps: list[tuple[Operation, Matrix, Matrix]]

    def compute(self, rows: Matrix) -> Matrix:
        z = rows[:, self.sources]
        for operation, a, b in self.steps:
            z = _OPERATIONS[operation](z, a, b)
        return z


def _grouped(columns: Sequence[Column]) -> list[_Group]:
    alike: dict[tuple[Operation, ...], list[int]] = defaultdict(list)
    for place, column in enumerate(columns):
        alike[tuple(step.operation for step in column.steps)].append(place)
    return [_group(columns, places, operations) for operations, places in alike.items()]


def _group(columns: Sequence[Column], places: list[int], operations: tuple[Operation, ...]) -> _Group:
    steps = [[columns[place].steps[index] for place in places] for index in range(len(operations))]
    constants = [(np.array([s.a for s in row]), np.array([s.b for s in row])) for row in steps]
    return _Group(
        places,
        [columns[place].source for place in places],
        [(operation, a, b) for operation, (a, b) in zip(operations, constants, strict=True)],
    )


# The other operations are in no plan of a linear model.
_OPERATIONS: Mapping[Operation, Callable[[Matrix, Matrix, Matrix], Matrix]] = {
    Operation.FILL: lambda z, a, _: np.where(np.isnan(z), a, z),
    Operation.CODE: lambda z, a, b: np.where(np.isnan(z), b, np.where(z < 0, a, z)),
    Operation.SUBTRACT: lambda z, a, _: z - a,
    Operation.DIVIDE: lambda z, a, _: z / a,
    Operation.EQUAL: lambda z, a, _: (z == a).astype(np.float64),
    Operation.IS_NULL: lambda z, _, __: np.isnan(z).astype(np.float64),
    Operation.ROUND: lambda z, _, __: z.astype(np.float32).astype(np.float64),
}
