"""The columns between the row and the estimator: each is one number of the row, after some steps.

All that the exporter writes before an estimator works column by column, so a matrix in the graph is a list of these.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Literal

from shared.kernel.errors import GraphUnsupported


class Operation(IntEnum):
    """Of the value v, with the constants a and b of the step. The numbers are those in kernel.c."""

    FILL = 0  # a if v is null
    CODE = 1  # b if v is null, a if it is below 0: a category nobody knows
    SUBTRACT = 2  # v - a
    DIVIDE = 3  # v / a
    EQUAL = 4  # 1 if v is a, else 0
    IS_NULL = 5  # 1 if v is null, else 0
    ROUND = 6  # the float32 nearest to v
    NEGATE = 7  # -v
    UNKNOWN = 8  # a if v is below 0; only ever within CODE
    IS_UNKNOWN = 9  # whether v is below 0; only ever within UNKNOWN


@dataclass(frozen=True, slots=True)
class Step:
    operation: Operation
    a: float = 0.0
    b: float = 0.0

    @property
    def stays_known(self) -> bool:
        """Whether a value that is no null is none after this step, infinite ones included."""
        match self.operation:
            case Operation.SUBTRACT:
                return math.isfinite(self.a)
            case Operation.DIVIDE:
                return math.isfinite(self.a) and self.a != 0
            case Operation.FILL:
                return True
            case Operation.CODE:
                return not math.isnan(self.a)
        return True

    @property
    def makes_known(self) -> bool:
        """Whether no value is null after this step, whatever it was."""
        match self.operation:
            case Operation.EQUAL | Operation.IS_NULL:
                return True
            case Operation.FILL:
                return not math.isnan(self.a)
            case Operation.CODE:
                return not math.isnan(self.a) and not math.isnan(self.b)
        return False


@dataclass(frozen=True, slots=True)
class Column:
    source: int
    """Which number of the row."""
    steps: tuple[Step, ...] = ()

    def then(self, operation: Operation, a: float = 0.0) -> "Column":
        return replace(self, steps=(*self.steps, Step(operation, a)))

    @property
    def may_be_null(self) -> bool:
        may = True
        for step in self.steps:
            may = not step.makes_known and (may or not step.stays_known)
        return may

    @property
    def is_rounded(self) -> bool:
        """Whether each value is a float32."""
        return bool(self.steps) and self.steps[-1].operation == Operation.ROUND


Kind = Literal["double", "float", "bool"]


@dataclass(frozen=True, eq=False)
class Matrix:
    """A matrix in the graph."""

    columns: tuple[Column, ...]
    kind: Kind = "double"

    def then(self, operation: Operation, constants: Sequence[float] | None = None, kind: Kind = "double") -> "Matrix":
        """Return it after one more step of each column."""
        if self.kind == "bool":
            raise GraphUnsupported(f"{operation.name} of truth values")
        values = [0.0] * len(self.columns) if constants is None else constants
        return Matrix(tuple(c.then(operation, a) for c, a in zip(self.columns, values, strict=True)), kind)


def choose(asked: Column, otherwise: Column, a: float) -> Column:
    """Return the column that is `a` where `asked`, a column of truth values, says so, and else `otherwise`.

    Raises:
        GraphUnsupported: another question than whether `otherwise` is null or unknown.
    """
    question = asked.steps[-1].operation
    about, of = replace(asked, steps=asked.steps[:-1]), otherwise
    if question == Operation.IS_UNKNOWN and about == of:
        return of.then(Operation.UNKNOWN, a)
    if question == Operation.IS_NULL and about == of:
        return of.then(Operation.FILL, a)
    if question == Operation.IS_NULL and of.steps and of.steps[-1].operation == Operation.UNKNOWN:
        unknown = of.steps[-1]
        if about == replace(of, steps=of.steps[:-1]):
            return replace(of, steps=(*of.steps[:-1], Step(Operation.CODE, unknown.a, a)))
    raise GraphUnsupported("a value is chosen by another question than whether it is null or unknown")
