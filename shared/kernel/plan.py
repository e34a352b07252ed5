"""What a graph computes: the columns of the row, and trees or products of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.kernel.columns import Column, Kind, Matrix, Operation, choose
from shared.kernel.errors import GraphDamaged, GraphUnsupported
from shared.kernel.graph import INPUT, OUTPUT, Graph, Node, read_graph
from shared.kernel.trees import Ensemble, read_ensemble

MOST_COLUMNS = 1_000_000
"""In all matrices of a graph together, and each step counts: a few nodes could ask for more than there is memory."""
_FLOAT, _DOUBLE = 1, 11  # ONNX's numbers


@dataclass(frozen=True, eq=False)
class Forest:
    """Sums of leaves, one ensemble per target, divided by `divisor`."""

    columns: tuple[Column, ...]
    ensembles: tuple[Ensemble, ...]
    divisor: float = 1.0

    @property
    def targets(self) -> int:
        return len(self.ensembles)

    @property
    def parts(self) -> int:
        """What a row is scored with: trees."""
        return sum(len(ensemble.roots) for ensemble in self.ensembles)


@dataclass(frozen=True, eq=False)
class Linear:
    """Products of the columns, added from the first to the last, and then the intercept."""

    columns: tuple[Column, ...]
    weights: NDArray[np.float64]
    """Shape (columns, targets)."""
    intercept: NDArray[np.float64]

    @property
    def targets(self) -> int:
        return len(self.intercept)

    @property
    def parts(self) -> int:
        """What a row is scored with: products."""
        return self.weights.size


@dataclass(frozen=True, eq=False)
class Plan:
    """The whole: rows of `inputs` numbers go in."""

    inputs: int
    estimator: Forest | Linear


def read_plan(onnx: bytes) -> Plan:
    """Read a graph of our exporter's.

    Raises:
        GraphUnsupported: it holds what none of ours does.
        GraphDamaged
    """
    graph = read_graph(onnx)
    result = _interpret(graph)
    estimator = Forest(result.columns, result.ensembles) if isinstance(result, _Sums) else result
    if not isinstance(estimator, Forest | Linear):
        raise GraphUnsupported("it ends without trees or products")
    if estimator.targets != graph.outputs:
        raise GraphDamaged(f"it says it has {graph.outputs} outputs, and computes {estimator.targets}")
    _check_columns(estimator.columns)
    return Plan(graph.inputs, estimator)


@dataclass(frozen=True, eq=False)
class _Sums:
    """Ensembles of the same columns, side by side."""

    columns: tuple[Column, ...]
    ensembles: tuple[Ensemble, ...]


@dataclass(frozen=True, eq=False)
class _Products:
    columns: tuple[Column, ...]
    weights: NDArray[np.float64]


_Constant = NDArray[Any]
_Tensor = _Constant | Matrix | _Sums | _Products | Forest | Linear


def _interpret(graph: Graph) -> _Tensor:
    """Follow the nodes, each of which reads what stands before it."""
    tensors: dict[str, _Tensor] = {**graph.constants}
    tensors[INPUT] = Matrix(tuple(map(Column, range(_bounded(graph.inputs)))))
    total = 0
    for node in graph.nodes:
        operator = _OPERATORS.get((node.domain, node.operator))
        if operator is None:
            raise GraphUnsupported(f"it has the operator {node.operator}")
        missing = [name for name in node.inputs if name not in tensors]
        if missing or node.output in tensors:
            raise GraphDamaged(f"a node reads {missing}, which is not there yet, or makes {node.output!r} again")
        made = operator(node, [tensors[name] for name in node.inputs])
        if isinstance(made, Matrix):
            total = _bounded(total + sum(1 + len(column.steps) for column in made.columns))
        tensors[node.output] = made
    if OUTPUT not in tensors:
        raise GraphDamaged("nothing makes its output")
    return tensors[OUTPUT]


def _bounded(columns: int) -> int:
    if not 0 <= columns <= MOST_COLUMNS:
        raise GraphUnsupported(f"its matrices have more than {MOST_COLUMNS} columns")
    return columns


def _check_columns(columns: Sequence[Column]) -> None:
    unfinished = (Operation.UNKNOWN, Operation.IS_UNKNOWN)
    if any(step.operation in unfinished for column in columns for step in column.steps):
        raise GraphUnsupported("a category that nobody knows is replaced, and a null is not")


def _gather(node: Node, inputs: Sequence[_Tensor]) -> Matrix:
    matrix, indices = _matrix(inputs, 0, of=2), _constant(inputs, 1, np.int64)
    _check_attributes(node, {"axis": 1})
    if len(indices) and not 0 <= indices.min() <= indices.max() < len(matrix.columns):
        raise GraphDamaged(f"a Gather takes column {indices.min()} or {indices.max()} of {len(matrix.columns)}")
    _bounded(len(indices))
    return Matrix(tuple(matrix.columns[index] for index in indices.tolist()), matrix.kind)


def _concat(node: Node, inputs: Sequence[_Tensor]) -> Matrix | _Sums:
    _check_attributes(node, {"axis": 1})
    sums = [each for each in inputs if isinstance(each, _Sums)]
    if sums and len(sums) == len(inputs):
        if any(each.columns is not sums[0].columns for each in sums):
            raise GraphUnsupported("its ensembles read different matrices")
        return _Sums(sums[0].columns, tuple(ensemble for each in sums for ensemble in each.ensembles))
    matrices = [_matrix(inputs, index, of=len(inputs)) for index in range(len(inputs))]
    if len({matrix.kind for matrix in matrices}) != 1:
        raise GraphDamaged("a Concat joins nothing, or different kinds of numbers")
    _bounded(sum(len(matrix.columns) for matrix in matrices))
    return Matrix(tuple(column for matrix in matrices for column in matrix.columns), matrices[0].kind)


def _cast(node: Node, inputs: Sequence[_Tensor]) -> Matrix:
    matrix = _matrix(inputs, 0, of=1)
    to = node.attributes.get("to")
    _check_attributes(node, {"to": _FLOAT if to == _FLOAT else _DOUBLE})
    if to == _FLOAT and matrix.kind == "double":
        return matrix.then(Operation.ROUND, kind="float")
    if to == _DOUBLE and matrix.kind != "double":
        return Matrix(matrix.columns)
    raise GraphUnsupported(f"a Cast of {matrix.kind} to type {to}")


def _where(node: Node, inputs: Sequence[_Tensor]) -> Matrix:
    _check_attributes(node, {})
    asked, otherwise = _matrix(inputs, 0, of=3), _matrix(inputs, 2, of=3)
    values = _per_column(inputs, 1, otherwise)
    if asked.kind != "bool" or otherwise.kind != "double" or len(asked.columns) != len(otherwise.columns):
        raise GraphUnsupported("a Where is not about one matrix of doubles")
    return Matrix(tuple(map(choose, asked.columns, otherwise.columns, values)))


def _elementwise(operation: Operation) -> Callable[[Node, Sequence[_Tensor]], Matrix]:
    """Return the operator that does something to each column, with a constant of its own."""

    def operator(node: Node, inputs: Sequence[_Tensor]) -> Matrix:
        _check_attributes(node, {})
        matrix = _double(inputs, of=2)
        kind: Kind = "bool" if operation == Operation.EQUAL else "double"
        return matrix.then(operation, _per_column(inputs, 1, matrix), kind)

    return operator


def _less(node: Node, inputs: Sequence[_Tensor]) -> Matrix:
    _check_attributes(node, {})
    matrix = _double(inputs, of=2)
    if any(_per_column(inputs, 1, matrix)):
        raise GraphUnsupported("a Less compares with something else than 0")
    return matrix.then(Operation.IS_UNKNOWN, kind="bool")


def _is_nan(node: Node, inputs: Sequence[_Tensor]) -> Matrix:
    _check_attributes(node, {})
    return _double(inputs, of=1).then(Operation.IS_NULL, kind="bool")


def _divide(node: Node, inputs: Sequence[_Tensor]) -> Matrix | Forest:
    if not inputs or not isinstance(inputs[0], _Sums):
        return _elementwise(Operation.DIVIDE)(node, inputs)
    _check_attributes(node, {})
    sums, divisor = inputs[0], _constant(inputs, 1, np.float64)
    if len(inputs) != 2 or len(divisor) != 1:
        raise GraphUnsupported("its sums are not divided by one number")
    return Forest(sums.columns, sums.ensembles, float(divisor[0]))


def _tree_ensemble(node: Node, inputs: Sequence[_Tensor]) -> _Sums:
    matrix = _double(inputs, of=1)
    return _Sums(matrix.columns, (read_ensemble(node.attributes, len(matrix.columns)),))


def _mat_mul(node: Node, inputs: Sequence[_Tensor]) -> _Products:
    _check_attributes(node, {})
    matrix, weights = _double(inputs, of=2), _constant(inputs, 1, np.float64, dimensions=2)
    if weights.shape[0] != len(matrix.columns) or not weights.shape[1]:
        raise GraphDamaged(f"weights of shape {weights.shape} for {len(matrix.columns)} columns")
    return _Products(matrix.columns, weights)


def _add(node: Node, inputs: Sequence[_Tensor]) -> Linear:
    _check_attributes(node, {})
    intercept = _constant(inputs, 1, np.float64)
    products = inputs[0]
    if len(inputs) != 2 or not isinstance(products, _Products):
        raise GraphUnsupported("an Add is not the intercept")
    if intercept.shape != products.weights.shape[1:]:
        raise GraphDamaged(f"{len(intercept)} intercepts for weights of shape {products.weights.shape}")
    return Linear(products.columns, products.weights, intercept)


def _identity(node: Node, inputs: Sequence[_Tensor]) -> _Tensor:
    _check_attributes(node, {})
    if len(inputs) != 1:
        raise GraphDamaged(f"an Identity of {len(inputs)} tensors")
    return inputs[0]


_Operator = Callable[[Node, Sequence[_Tensor]], _Tensor]
_OPERATORS: Mapping[tuple[str, str], _Operator] = {
    ("", "Gather"): _gather,
    ("", "Concat"): _concat,
    ("", "Cast"): _cast,
    ("", "IsNaN"): _is_nan,
    ("", "Less"): _less,
    ("", "Equal"): _elementwise(Operation.EQUAL),
    ("", "Where"): _where,
    ("", "Sub"): _elementwise(Operation.SUBTRACT),
    ("", "Div"): _divide,
    ("ai.onnx.ml", "TreeEnsemble"): _tree_ensemble,
    ("", "MatMul"): _mat_mul,
    ("", "Add"): _add,
    ("", "Identity"): _identity,
}


def _check_attributes(node: Node, expected: Mapping[str, int]) -> None:
    if set(node.attributes) != set(expected) or any(
        not isinstance(node.attributes[name], int) or node.attributes[name] != value for name, value in expected.items()
    ):
        raise GraphUnsupported(f"a {node.operator} has other attributes than {dict(expected)}")


def _matrix(inputs: Sequence[_Tensor], index: int, of: int) -> Matrix:
    if len(inputs) != of or not isinstance(found := inputs[index], Matrix):
        raise GraphUnsupported("a node reads something else than a matrix of columns")
    return found


def _double(inputs: Sequence[_Tensor], of: int) -> Matrix:
    matrix = _matrix(inputs, 0, of)
    if matrix.kind != "double":
        raise GraphUnsupported(f"a node computes with {matrix.kind}")
    return matrix


def _constant(inputs: Sequence[_Tensor], index: int, dtype: type, dimensions: int = 1) -> _Constant:
    found = inputs[index] if index < len(inputs) else None
    if not isinstance(found, np.ndarray) or found.dtype != dtype or found.ndim != dimensions:
        raise GraphUnsupported(f"a node reads something else than a constant of {dtype.__name__}")
    return found


def _per_column(inputs: Sequence[_Tensor], index: int, matrix: Matrix) -> list[float]:
    """Return a constant for each column: there may be one for all."""
    values: list[float] = _constant(inputs, index, np.float64).tolist()
    if len(values) == 1:
        return values * len(matrix.columns)
    if len(values) != len(matrix.columns):
        raise GraphUnsupported(f"{len(values)} constants for {len(matrix.columns)} columns")
    return values
