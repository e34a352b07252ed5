"""Scoring `{"instances": [row, …]}`: errors per row, and every good row in one call of the engine. Runs in a thread."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.gateway.blocks import ScoredRows
from services.gateway.bodies import decode_json
from services.gateway.instances import instance_reader
from services.gateway.problems import ErrorItem, Problem, field_errors
from services.gateway.rows import MAX_ERRORS, not_a_row
from shared.engine import Model
from shared.signature import FieldError, InvalidRow

SHAPE = 'expected {"instances": [row, …]}'


class RowError(msgspec.Struct):
    index: int
    field: str
    code: str
    detail: str


class Batch(msgspec.Struct):
    """The answer."""

    predictions: Sequence[float | None]
    errors: list[RowError]
    count: int
    model_name: str
    model_version: str
    inference_time: float
    request_id: str


@dataclass(frozen=True)
class Rows:
    """What was read of a body."""

    count: int
    indexes: NDArray[np.int64]
    """Of those that can be scored."""
    x: NDArray[np.float64]
    """These, encoded, shape (n, F)."""
    errors: list[RowError]


@dataclass(frozen=True)
class Scored:
    """The answer, and the rows that could be scored."""

    answer: bytes
    rows: ScoredRows
    failed: int
    """Rows that could not."""


class EngineFailed(RuntimeError):
    """The engine raised over a batch: none of its rows is answered."""

    def __init__(self, rows: int) -> None:
        super().__init__(f"the engine failed on a batch of {rows:,} rows")
        self.rows = rows


def score(model: Model, body: bytes, request_id: str, limit: int) -> Scored:
    """Score a body and encode the answer.

    Raises:
        Problem: the body as a whole cannot be used; a bad row is no reason.
        EngineFailed
    """
    rows = _read(model, body, limit) or _explained(model, body, limit)
    started = time.perf_counter()
    try:
        values = model.predict(rows.x) if len(rows.x) else np.empty(0)
    except Exception as error:  # an engine may raise anything
        raise EngineFailed(rows.count) from error
    seconds = time.perf_counter() - started
    predictions = _placed(rows, values.tolist())
    answer = Batch(predictions, rows.errors, rows.count, model.name, model.version, seconds, request_id)
    scored = ScoredRows(rows.indexes, rows.x, values, seconds / max(1, len(rows.x)))
    return Scored(msgspec.json.encode(answer), scored, rows.count - len(rows.x))


def _placed(rows: Rows, values: list[float]) -> Sequence[float | None]:
    if not rows.errors:
        return values
    predictions: list[float | None] = [None] * rows.count
    for index, prediction in zip(rows.indexes.tolist(), values, strict=True):
        predictions[index] = prediction
    return predictions


def _read(model: Model, body: bytes, limit: int) -> Rows | None:
    """Read a body with which nothing is wrong; None if it needs a closer look."""
    reader = instance_reader(model)
    x = reader.read(body, limit) if reader else None
    return None if x is None else Rows(len(x), np.arange(len(x)), x, [])


def _explained(model: Model, body: bytes, limit: int) -> Rows:
    """Read any body, row by row. Raises Problem."""
    value, complaint = decode_json(body)
    instances = _instances(value, limit)
    indexes, rows, errors = _encode(model, instances)
    if complaint and not errors:
        raise Problem("malformed-body", complaint)
    x = np.array(rows, np.float64).reshape(len(rows), len(model.signature.features))
    return Rows(len(instances), np.array(indexes, np.int64), x, errors)


def _instances(value: object, limit: int) -> list[object]:
    if not isinstance(value, dict):
        raise Problem("invalid-body", SHAPE, errors=[ErrorItem("", "wrong_type", SHAPE)])
    instances = value.get("instances")
    if not isinstance(instances, list) or len(value) > 1:
        raise Problem("invalid-body", SHAPE, errors=field_errors(_wrong_members(value)[:MAX_ERRORS]))
    if not instances:
        detail = "expected at least one row"
        raise Problem("empty-table", detail, errors=[ErrorItem("/instances", "missing", detail)])
    if len(instances) > limit:
        detail = f"{len(instances):,} rows; up to {limit:,} are answered at once: submit them to POST /jobs"
        raise Problem("too-many-rows", detail, headers={"Link": '</jobs>; rel="alternate"'})
    return instances


def _wrong_members(value: dict[str, object]) -> list[FieldError]:
    errors = []
    if "instances" not in value:
        errors.append(FieldError("instances", "missing", "is required: an array of rows"))
    elif not isinstance(value["instances"], list):
        errors.append(FieldError("instances", "wrong_type", "expected an array of rows"))
    return errors + [
        FieldError(name, "unknown_field", "is no member of a batch") for name in value if name != "instances"
    ]


def _encode(model: Model, instances: list[object]) -> tuple[list[int], list[list[float]], list[RowError]]:
    indexes: list[int] = []
    rows: list[list[float]] = []
    errors: list[RowError] = []
    for index, instance in enumerate(instances):
        try:
            rows.append(_encoded(model, instance))
            indexes.append(index)
        except InvalidRow as invalid:
            errors += _row_errors(index, invalid.errors, MAX_ERRORS - len(errors))
    return indexes, rows, errors


def _encoded(model: Model, instance: object) -> list[float]:
    if isinstance(instance, dict):
        return model.encoder.encode(instance)
    raise InvalidRow([FieldError("", "wrong_type", not_a_row(instance))])


def _row_errors(index: int, errors: Sequence[FieldError], room: int) -> list[RowError]:
    return [RowError(index, _text(e.field), e.code, _text(e.detail)) for e in errors[: max(1, room)]]


def _text(text: str) -> str:
    """Replace lone surrogates, which a caller may send as escapes and UTF-8 cannot say."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
