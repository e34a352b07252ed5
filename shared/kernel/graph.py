"""ONNX graphs from their bytes: what our exporter writes, and nothing else."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from shared.kernel.errors import GraphDamaged, GraphUnsupported
from shared.kernel.wire import Field, Value, read_field, read_fields, read_run

INPUT, OUTPUT = "x", "s"
OPSETS = {"": 21, "ai.onnx.ml": 5}
MOST_NODES = 10_000
_DOUBLE = 11
_TYPES = {2: "<u1", 7: "<i8", _DOUBLE: "<f8"}  # ONNX's numbers of uint8, int64 and double

Array = NDArray[Any]
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Node:
    """An operator with one output."""

    operator: str
    domain: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, int | Array]


@dataclass(frozen=True, eq=False)
class Graph:
    """Maps `x`, shape (n, inputs), to `s`, shape (n, outputs)."""

    nodes: tuple[Node, ...]
    constants: Mapping[str, Array]
    inputs: int
    outputs: int


def read_graph(onnx: bytes) -> Graph:
    """Decode a model.

    Raises:
        GraphUnsupported, GraphDamaged
    """
    model = _message(memoryview(onnx), _MODEL)
    opsets = dict(model["opsets"])
    if opsets != OPSETS or len(model["opsets"]) != len(OPSETS):
        raise GraphUnsupported(f"it is written for the operators of {opsets}, not {OPSETS}")
    graph = _one(model, "graph")
    if len(graph["nodes"]) > MOST_NODES:
        raise GraphUnsupported(f"it has {len(graph['nodes'])} nodes, more than {MOST_NODES}")
    constants = dict(graph["constants"])
    if len(constants) < len(graph["constants"]):
        raise GraphDamaged("two constants have one name")
    width = {name: _width_of(graph, kind, name) for kind, name in (("inputs", INPUT), ("outputs", OUTPUT))}
    return Graph(tuple(graph["nodes"]), constants, width[INPUT], width[OUTPUT])


# A message is described by what becomes of each of its fields: its name here, and how its value is read.
_Reader = Callable[[Value], Any]
_Description = Mapping[int, tuple[str, _Reader]]


def _message(data: memoryview, description: _Description) -> dict[str, list[Any]]:
    return _collect(read_fields(data), description)


def _collect(fields: Iterable[Field], description: _Description) -> dict[str, list[Any]]:
    """Return the values of each field; of one that is not described, we know nothing."""
    found: dict[str, list[Any]] = {name: [] for name, _ in description.values()}
    for field in fields:
        if field.number not in description:
            raise GraphUnsupported(f"a message has field {field.number}, and may have {sorted(description)}")
        name, read = description[field.number]
        found[name].append(read(field.value))
    return found


def _one(message: dict[str, list[Any]], name: str) -> Any:
    if len(message[name]) != 1:
        raise GraphDamaged(f"{name} is there {len(message[name])} times, not once")
    return message[name][0]


def _at_most_one(message: dict[str, list[T]], name: str, otherwise: T) -> T:
    return _one(message, name) if message[name] else otherwise


def _number(value: Value) -> int:
    if not isinstance(value, int):
        raise GraphDamaged("a number is written as bytes")
    return value


def _bytes(value: Value) -> memoryview:
    if isinstance(value, int):
        raise GraphDamaged("bytes are written as a number")
    return value


def _text(value: Value) -> str:
    try:
        return str(_bytes(value), "utf-8")
    except UnicodeDecodeError:
        raise GraphDamaged("a name is no UTF-8") from None


def _ignored(value: Value) -> None:
    """Of a name that nothing refers to."""


def _opset(value: Value) -> tuple[str, int]:
    opset = _message(_bytes(value), {1: ("domain", _text), 2: ("version", _number)})
    return _at_most_one(opset, "domain", ""), _one(opset, "version")


def _graph(value: Value) -> dict[str, list[Any]]:
    return _message(_bytes(value), _GRAPH)


def _node(value: Value) -> Node:
    node = _message(_bytes(value), _NODE)
    attributes = dict(node["attributes"])
    if len(attributes) < len(node["attributes"]):
        raise GraphDamaged("a node has an attribute twice")
    operator, domain = _one(node, "operator"), _at_most_one(node, "domain", "")
    return Node(operator, domain, tuple(node["inputs"]), _one(node, "output"), attributes)


def _attribute(value: Value) -> tuple[str, int | Array]:
    """An integer, a tensor, or a list of integers, which is read as a whole: it may have a million."""
    message = _bytes(value)
    ints: list[Array] = []
    attribute = _collect(_without_ints(message, ints), _ATTRIBUTE)
    kind = _one(attribute, "type")
    values = {_INT: attribute["int"], _TENSOR: attribute["tensor"], _INTS: ints}
    if kind not in values:
        raise GraphUnsupported(f"an attribute is of type {kind}")
    if [len(found) for found in values.values()] != [int(of == kind) for of in values]:
        raise GraphDamaged(f"an attribute of type {kind} has another value, or several, or none")
    return _one(attribute, "name"), values[kind][0]


def _without_ints(message: memoryview, ints: list[Array]) -> Iterable[Field]:
    """Yield the fields of an attribute but its list of integers, which is added to `ints`."""
    position = 0
    while position < len(message):
        field = read_field(message, position)
        if field.number == _INTS_FIELD:
            if ints or not isinstance(field.value, int):
                raise GraphUnsupported("a list of integers is written in pieces")
            values, position = read_run(message, position)
            ints.append(values)
        else:
            yield field
            position = field.end


def _tensor(value: Value) -> tuple[str, Array]:
    tensor = _message(_bytes(value), _TENSOR_FIELDS)
    kind, data, shape = _one(tensor, "type"), _one(tensor, "data"), tuple(tensor["dims"])
    if kind not in _TYPES:
        raise GraphUnsupported(f"a tensor is of type {kind}")
    dtype = np.dtype(_TYPES[kind])
    if len(data) != dtype.itemsize * math.prod(shape):
        raise GraphDamaged(f"a tensor of shape {shape} has {len(data)} bytes")
    values = np.frombuffer(data, dtype).copy()  # in the file it may begin at any byte
    return _at_most_one(tensor, "name", ""), values.reshape(shape)


def _unnamed_tensor(value: Value) -> Array:
    return _tensor(value)[1]


def _value_info(value: Value) -> tuple[str, int]:
    """The name and the width of a matrix of doubles with any number of rows."""
    info = _message(_bytes(value), {1: ("name", _text), 2: ("type", _bytes)})
    tensor_type = _message(_one(_message(_one(info, "type"), {1: ("tensor", _bytes)}), "tensor"), _TENSOR_TYPE)
    if _one(tensor_type, "element") != _DOUBLE:
        raise GraphUnsupported("an input or output is not of doubles")
    dims = _message(_one(tensor_type, "shape"), {1: ("dims", _dim)})["dims"]
    if len(dims) != 2 or dims[0] is not None or not dims[1]:
        raise GraphUnsupported(f"an input or output has the shape {dims}")
    return _one(info, "name"), dims[1]


def _dim(value: Value) -> int | None:
    dim = _message(_bytes(value), {1: ("size", _number)})
    return int(_one(dim, "size")) if dim["size"] else None


def _width_of(graph: dict[str, list[Any]], kind: str, name: str) -> int:
    found, width = _one(graph, kind)
    if found != name:
        raise GraphUnsupported(f"its {kind} are {found!r}, not {name!r}")
    return int(width)


# By the field numbers of onnx.proto.
_INT, _TENSOR, _INTS, _INTS_FIELD = 2, 4, 7, 8
_MODEL: _Description = {1: ("ir_version", _number), 7: ("graph", _graph), 8: ("opsets", _opset)}
_GRAPH: _Description = {
    1: ("nodes", _node),
    2: ("name", _ignored),
    5: ("constants", _tensor),
    11: ("inputs", _value_info),
    12: ("outputs", _value_info),
}
_NODE: _Description = {
    1: ("inputs", _text),
    2: ("output", _text),
    3: ("name", _ignored),
    4: ("operator", _text),
    5: ("attributes", _attribute),
    7: ("domain", _text),
}
_ATTRIBUTE: _Description = {
    1: ("name", _text),
    3: ("int", _number),
    5: ("tensor", _unnamed_tensor),
    20: ("type", _number),
}
_TENSOR_FIELDS: _Description = {1: ("dims", _number), 2: ("type", _number), 8: ("name", _text), 9: ("data", _bytes)}
_TENSOR_TYPE: _Description = {1: ("element", _number), 2: ("shape", _bytes)}
