"""The engine in C."""

import ctypes
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shared.kernel import NAME
from shared.kernel.columns import Column
from shared.kernel.library import CColumn, CForest, CLinear, CStep, Library
from shared.kernel.nodes import pack
from shared.kernel.plan import Forest, Linear, Plan
from shared.kernel.rows import Matrix, checked

FEW_ROWS = 8
"""So many are scored without letting go of the interpreter's lock, if one alone is quick."""
QUICK_PARTS = 5000
"""Trees, or products, of a row: of more, even one takes long enough to let others go on meanwhile."""


class CompiledEngine:
    """Calls kernel.c, which starts no thread and keeps nothing between two calls."""

    name = NAME

    def __init__(self, plan: Plan, library: Library) -> None:
        """Raises GraphUnsupported when there is too much of it."""
        self._inputs, self._targets = plan.inputs, plan.estimator.targets
        if isinstance(plan.estimator, Forest):
            self._model, self._calls = _forest(plan.inputs, plan.estimator), library.forest
        else:
            self._model, self._calls = _linear(plan.inputs, plan.estimator), library.linear
        self._address = ctypes.addressof(self._model.structure)
        self._pack = struct.Struct(f"={plan.inputs}d").pack
        self._few = FEW_ROWS if plan.estimator.parts <= QUICK_PARTS else 0

    def run(self, x: Matrix) -> Matrix:
        rows = checked(x, self._inputs)
        out = np.empty((len(rows), self._targets))
        if len(rows):
            run = self._calls.run_briefly if len(rows) <= self._few else self._calls.run
            if run(self._address, rows.ctypes.data, len(rows), out.ctypes.data):
                raise MemoryError(f"no memory for {len(rows)} rows")
        return out

    def run_row(self, row: Sequence[float]) -> float:
        if len(row) != self._inputs:
            raise ValueError(f"a row of {len(row)} numbers, expected {self._inputs}")
        if not self._few:
            return float(self.run(np.array([row], np.float64))[0, 0])
        return self._calls.row(self._address, self._pack(*row))


@dataclass(frozen=True, eq=False)
class _Model:
    """What a call gets the address of, and what must live as long, because it points there."""

    structure: ctypes.Structure
    kept: tuple[Any, ...]


def _forest(inputs: int, forest: Forest) -> _Model:
    packed = pack(forest)
    columns, steps = _columns(packed.columns)
    structure = CForest(
        inputs,
        forest.targets,
        columns,
        1 + len(packed.columns),
        packed.narrow,
        packed.nodes.ctypes.data,
        packed.leaves.ctypes.data,
        packed.trees.ctypes.data,
        packed.first_tree.ctypes.data,
        forest.divisor,
    )
    return _Model(structure, (packed, columns, steps))


def _linear(inputs: int, linear: Linear) -> _Model:
    weights, intercept = (np.ascontiguousarray(each, np.float64) for each in (linear.weights, linear.intercept))
    columns, steps = _columns(linear.columns)
    structure = CLinear(
        inputs, linear.targets, columns, len(linear.columns), weights.ctypes.data, intercept.ctypes.data
    )
    return _Model(structure, (weights, intercept, columns, steps))


def _columns(columns: Sequence[Column]) -> tuple[Any, list[Any]]:
    """An array of C's columns, and their steps, which it points to."""
    steps = [(CStep * len(c.steps))(*(CStep(s.operation, s.a, s.b) for s in c.steps)) for c in columns]
    pairs = zip(columns, steps, strict=True)
    return (CColumn * len(columns))(*(CColumn(c.source, s, len(s)) for c, s in pairs)), steps
