"""From a decoded JSON value to the engine's row, or to the list of everything that is wrong with it."""

from services.gateway.bodies import decode_json
from services.gateway.decode import Read
from services.gateway.problems import ErrorItem, Problem, field_errors
from shared.engine import Model
from shared.signature import InvalidRow, unusual

MAX_ERRORS = 1000
"""Listed in one answer. A row's first error is always listed; the rest is left out beyond this many."""


def explained(model: Model, body: bytes) -> Read:
    """Read a row that `decode` did not take. Raises Problem with everything that is wrong with it."""
    value, complaint = decode_json(body)
    row = encoded(model, value)
    if complaint:
        raise Problem("malformed-body", complaint)
    return Read(row, unusual(model.signature, row, value if isinstance(value, dict) else {}))


def encoded(model: Model, value: object) -> list[float]:
    """Return the engine's row. Raises Problem with every bad field."""
    if not isinstance(value, dict):
        raise Problem("invalid-row", "the body is not a row", errors=[ErrorItem("", "wrong_type", not_a_row(value))])
    try:
        return model.encoder.encode(value)
    except InvalidRow as invalid:
        errors = field_errors(invalid.errors[:MAX_ERRORS])
        raise Problem("invalid-row", _summary(model, value, invalid), errors=errors) from None


def not_a_row(value: object) -> str:
    return f"expected an object with one member per feature, got {_NAMES.get(type(value), 'null')}"


_NAMES = {list: "an array", str: "text", bool: "true or false", int: "a number", float: "a number"}


def _summary(model: Model, row: dict[str, object], invalid: InvalidRow) -> str:
    if "instances" in row and "instances" not in model.signature.names:
        return "this looks like a batch of rows; send it to /predict/batch"
    n = len(invalid.errors)
    left_out = f"; the first {MAX_ERRORS:,} are listed" if n > MAX_ERRORS else ""
    return f"{n} field{'s' if n > 1 else ''} of the row cannot be used{left_out}"
