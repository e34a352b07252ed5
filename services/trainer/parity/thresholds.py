"""Rows on the edge: for every threshold the last double that goes left, and the next, which goes right.

Trees compare what the preprocessing made of a number, and round it to float32 before; the edge is wanted in the raw
number. Both steps are monotone, so it is found by bisection over the ordered bits of a double, with scikit-learn's
own fitted steps as the judge.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from services.trainer.export import Exported
from services.trainer.export.preprocessing import column_names
from services.trainer.export.trees import LEAF, Trees
from services.trainer.parity.reference import Matrix
from services.trainer.parity.rows import cycle
from shared.signature import MAX_MAGNITUDE

BITS = 64


def threshold_rows(edges: dict[str, Matrix], data: Matrix, exported: Exported) -> Matrix:
    """Return rows of the data with each number on an edge, and the same rows one double further."""
    count = max(map(len, edges.values()), default=0)
    rows, next_rows = cycle(data, count), cycle(data, count)
    for name, values in edges.items():
        index = exported.inputs.index(name)
        rows[:, index] = np.resize(values, count)
        next_rows[:, index] = np.nextafter(rows[:, index], np.inf)
    return np.concatenate([rows, next_rows])


def find_edges(transformer: Any, trees: Trees, exported: Exported, data: Matrix) -> dict[str, Matrix]:
    """Return, per number that a tree splits, the largest raw double that goes left at each of its thresholds."""
    thresholds = _thresholds(trees)
    edges: dict[str, Matrix] = {}
    for part in _numeric_parts(transformer, exported):
        low, high = _range(data[:, [exported.inputs.index(name) for name in part.names]])
        for name, column in part.edges(low, high, thresholds, float32=trees.float32):
            edges[name] = np.union1d(edges.get(name, []), column)
    return edges


@dataclass(frozen=True)
class _Part:
    """A transformer of the `ColumnTransformer` that reads numbers."""

    fitted: Any
    names: tuple[str, ...]
    outputs: slice
    """Where its columns are among the estimator's."""

    def transform(self, values: Matrix) -> Matrix:
        return np.asarray(self.fitted.transform(pd.DataFrame(values, columns=list(self.names))), np.float64)

    def edges(
        self, low: Matrix, high: Matrix, thresholds: dict[int, Matrix], *, float32: bool
    ) -> Iterator[tuple[str, Matrix]]:
        follows = self._outputs_that_follow(low, high)
        for index, name in enumerate(self.names):
            for output in follows[index]:
                wanted = thresholds.get(self.outputs.start + output)
                if wanted is not None:
                    yield name, self._edges(low, index, output, wanted, float32)

    def _outputs_that_follow(self, low: Matrix, high: Matrix) -> list[list[int]]:
        """Change one number at a time, and see what changes."""
        raised = np.where(np.eye(len(low), dtype=bool), high, low)
        transformed = self.transform(np.vstack([low, raised]))
        return [np.flatnonzero(row != transformed[0]).tolist() for row in transformed[1:]]

    def _edges(self, low: Matrix, index: int, output: int, wanted: Matrix, float32: bool) -> Matrix:
        rows = np.tile(low, (len(wanted), 1))

        def goes_left(values: Matrix) -> NDArray[np.bool_]:
            rows[:, index] = values
            seen = self.transform(rows)[:, output]
            with np.errstate(over="ignore"):  # the ends of the search are beyond float32
                left: NDArray[np.bool_] = (seen.astype(np.float32) if float32 else seen) <= wanted
            return left

        return _last_left(goes_left, len(wanted))


def _last_left(goes_left: Any, count: int) -> Matrix:
    """Bisect; a threshold that all numbers, or none, pass has no edge."""
    left, right = np.full(count, -MAX_MAGNITUDE), np.full(count, MAX_MAGNITUDE)
    has_edge = goes_left(left) & ~goes_left(right)
    low, high = _to_order(left), _to_order(right)
    for _ in range(BITS):
        middle = (low >> 1) + (high >> 1) + (low & high & 1)
        is_left = goes_left(_from_order(middle))
        low, high = np.where(is_left, middle, low), np.where(is_left, high, middle)
    return _from_order(low)[has_edge]


def _to_order(values: Matrix) -> NDArray[np.int64]:
    """Doubles as integers in the same order, neighbours one apart."""
    bits = values.view(np.int64)
    return np.where(bits < 0, np.iinfo(np.int64).min - bits, bits)


def _from_order(order: NDArray[np.int64]) -> Matrix:
    bits = np.where(order < 0, np.iinfo(np.int64).min - order, order)
    return bits.view(np.float64)


def _thresholds(trees: Trees) -> dict[int, Matrix]:
    """Distinct finite thresholds per feature of the estimator."""
    every = [tree for target in trees.targets for tree in target]
    feature = np.concatenate([tree.feature[tree.left != LEAF] for tree in every])
    threshold = np.concatenate([tree.threshold[tree.left != LEAF] for tree in every])
    finite = np.isfinite(threshold)
    return {int(f): np.unique(threshold[finite & (feature == f)]) for f in np.unique(feature[finite])}


def _numeric_parts(transformer: Any, exported: Exported) -> Iterator[_Part]:
    for label, fitted, columns in transformer.transformers_:
        names = column_names(transformer, columns)
        if names and names[0] in exported.inputs and names[0] not in exported.categories:
            yield _Part(fitted, names, transformer.output_indices_[label])


def _range(columns: Matrix) -> tuple[Matrix, Matrix]:
    known = np.ma.masked_invalid(columns)
    return known.min(axis=0).filled(0.0), known.max(axis=0).filled(1.0)
