"""The raw numbers at which a pipeline's splits flip.

Trees compare what the preprocessing made of a number, and round it to float32 before; the edge is wanted in the raw
number. Both steps are monotone, so it is found by bisection over the ordered bits of a double, with scikit-learn's
own fitted steps as the judge.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from services.trainer.export import Exported
from services.trainer.export.preprocessing import column_names
from services.trainer.export.trees import LEAF, Trees
from services.trainer.parity.reference import Matrix
from shared.signature import MAX_MAGNITUDE

BITS = 64


@dataclass(frozen=True, eq=False)
class Edges:
    """One feature of the estimator, made from one number of the row."""

    input: int
    """The number's column."""
    feature: int
    thresholds: Matrix
    """Increasing."""
    raw: Matrix
    """Per threshold the largest raw double that goes left; the next one goes right."""

    def at(self, thresholds: Matrix) -> Matrix:
        """Return the edges of some of the thresholds."""
        edges: Matrix = self.raw[np.searchsorted(self.thresholds, thresholds)]
        return edges


def find_edges(transformer: Any, trees: Trees, exported: Exported, data: Matrix) -> list[Edges]:
    """Return the edges of every feature that comes from a number and that a tree splits."""
    thresholds = _thresholds(trees)
    parts = _numeric_parts(transformer, exported)
    return [edge for part in parts for edge in part.find(data[:, part.inputs], thresholds, trees.float32)]


@dataclass(frozen=True)
class _Part:
    """A transformer of the `ColumnTransformer` that reads numbers."""

    fitted: Any
    names: tuple[str, ...]
    inputs: list[int]
    """The columns of the row that it reads."""
    first: int
    """The place of its first column among the estimator's features."""

    def find(self, data: Matrix, thresholds: dict[int, Matrix], float32: bool) -> Iterator[Edges]:
        low, high = _range(data)
        pairs = [(c, o) for c, o in self._outputs_that_follow(low, high) if self.first + o in thresholds]
        wanted = [thresholds[self.first + output] for _, output in pairs]
        if not pairs:
            return
        goes_left = self._asking(low, pairs, wanted, float32)
        has_edge, raw = _last_left(goes_left, sum(map(len, wanted)))
        ends = np.cumsum([len(w) for w in wanted])[:-1]
        split = zip(pairs, wanted, np.split(has_edge, ends), np.split(raw, ends), strict=True)
        for (column, output), some, has, edges in split:
            yield Edges(self.inputs[column], self.first + output, some[has], edges[has])

    def _transform(self, values: Matrix) -> Matrix:
        return np.asarray(self.fitted.transform(pd.DataFrame(values, columns=list(self.names))), np.float64)

    def _outputs_that_follow(self, low: Matrix, high: Matrix) -> list[tuple[int, int]]:
        """Change one number at a time, and see what changes: pairs of a column read and a column made."""
        raised = np.where(np.eye(len(low), dtype=np.bool_), high, low)
        transformed = self._transform(np.vstack([low, raised]))
        changed = np.argwhere(transformed[1:] != transformed[0])
        return [(column, output) for column, output in changed.tolist()]

    def _asking(
        self, low: Matrix, pairs: list[tuple[int, int]], wanted: list[Matrix], float32: bool
    ) -> Callable[[Matrix], NDArray[np.bool_]]:
        """Return the question whether raw numbers, one for each threshold, go left.

        Every call is one table for scikit-learn, each row of which asks about one threshold of each column.
        """
        sizes = [len(thresholds) for thresholds in wanted]
        column, output = np.repeat(np.array(pairs), sizes, axis=0).T
        # Pairs are sorted by column, so counting within a column is counting from its first threshold.
        row = np.arange(len(column)) - np.searchsorted(column, column)
        thresholds = np.concatenate(wanted)
        rows = np.tile(low, (row.max() + 1, 1))

        def goes_left(values: Matrix) -> NDArray[np.bool_]:
            rows[row, column] = values
            seen = self._transform(rows)[row, output]
            with np.errstate(over="ignore"):  # the ends of the search may be beyond float32
                left: NDArray[np.bool_] = (seen.astype(np.float32) if float32 else seen) <= thresholds
            return left

        return goes_left


def _last_left(goes_left: Callable[[Matrix], NDArray[np.bool_]], count: int) -> tuple[NDArray[np.bool_], Matrix]:
    """Bisect. Returns also which have an edge at all: all numbers, or none, may pass a threshold."""
    ends = np.full(count, -MAX_MAGNITUDE), np.full(count, MAX_MAGNITUDE)
    has_edge = goes_left(ends[0]) & ~goes_left(ends[1])
    low, high = map(_to_order, ends)
    for _ in range(BITS):
        middle = (low >> 1) + (high >> 1) + (low & high & 1)  # their sum would overflow
        is_left = goes_left(_from_order(middle))
        low, high = np.where(is_left, middle, low), np.where(is_left, high, middle)
    return has_edge, _from_order(low)


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
        dropped = isinstance(fitted, str) and fitted == "drop"
        if names and not dropped and names[0] not in exported.categories:
            inputs = [exported.inputs.index(name) for name in names]
            yield _Part(fitted, names, inputs, transformer.output_indices_[label].start)


def _range(columns: Matrix) -> tuple[Matrix, Matrix]:
    known = np.ma.masked_invalid(columns)
    return known.min(axis=0).filled(0.0), known.max(axis=0).filled(1.0)
