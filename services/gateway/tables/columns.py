"""From Arrow columns to engine rows, all values of a column at once."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from services.gateway.tables.block import Block, ColumnWrongType, nothing
from shared.signature import MAX_MAGNITUDE, NULL_TEXTS, Feature, FieldError, InvalidRow, RowEncoder, Signature

# What Arrow casts to the double that Python's float() gives. Anything else is for the row encoder to judge.
_NUMBER = r"^-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"

_ODD_ROWS = 1000  # that are Python objects at once
_QUOTED = 50  # characters of a text that an error quotes

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]


class ColumnEncoder:
    """Encodes record batches whose columns are named after features; an absent column is null.

    Args:
        signature: of the version that will score the rows.
        text: every column is text (CSV).
    """

    def __init__(self, signature: Signature, *, text: bool) -> None:
        self._features = signature.features
        self._row = RowEncoder(signature, text=text, ignore_extra=True)
        self._number = _numbers_of_text if text else _numbers
        self._one = {  # a value is judged apart from its row: who is wrong in one column costs that column alone
            f.name: RowEncoder(signature.model_copy(update={"features": (f,)}), text=text) for f in signature.features
        }

    def encode(self, batch: Any) -> Block:
        """Encode a batch; values that are not plainly right are left to the row encoder."""
        x = nothing(batch.num_rows, len(self._features))
        errors: dict[int, FieldError] = {}
        for position, feature in enumerate(self._features):
            if feature.name in batch.schema.names:
                column = batch.column(feature.name)
                x[:, position], odd = self._column(feature, column)
                odd[list(errors)] = False  # the first error of a row is the one that counts
                self._judge(feature.name, column, np.flatnonzero(odd), x[:, position], errors)
        x[list(errors)] = np.nan
        return Block(x, sorted(errors.items()))

    def encode_by_rows(self, batch: Any) -> Block:
        """Encode a batch row by row: what `encode` must agree with."""
        x = nothing(batch.num_rows, len(self._features))
        errors: list[tuple[int, FieldError]] = []
        for row, values in enumerate(batch.to_pylist()):
            try:
                x[row] = self._row.encode(values)
            except InvalidRow as invalid:
                errors.append((row, invalid.errors[0]))
        return Block(x, errors)

    def _column(self, feature: Feature, column: Any) -> tuple[Values, Mask]:
        if feature.kind == "numeric":
            return self._number(column, feature.nullable)
        return _codes(column, feature.name, self._one[feature.name])

    def _judge(
        self, name: str, column: Any, rows: NDArray[np.intp], values: Values, errors: dict[int, FieldError]
    ) -> None:
        """Encode the values of some rows, each by itself."""
        for start in range(0, len(rows), _ODD_ROWS):
            some = rows[start : start + _ODD_ROWS]
            for row, value in zip(some.tolist(), column.take(pa.array(some)).to_pylist(), strict=True):
                try:
                    values[row] = self._one[name].encode({name: value})[0]
                except InvalidRow as invalid:
                    errors[row] = invalid.errors[0]


def _numbers(column: Any, nullable: bool) -> tuple[Values, Mask]:
    values: Values = column.to_numpy(zero_copy_only=False)  # null becomes NaN
    odd: Mask = ~(np.abs(values) <= MAX_MAGNITUDE)  # NaN compares false
    if nullable and column.null_count:
        odd &= ~column.is_null().to_numpy(zero_copy_only=False)
    return values, odd


def _numbers_of_text(column: Any, nullable: bool) -> tuple[Values, Mask]:
    try:
        return _numbers(pc.cast(column, pa.float64()), nullable)
    except pa.ArrowInvalid:  # some value is no number: find the ones that are
        plain = pc.match_substring_regex(column, _NUMBER)
    try:
        numbers = pc.cast(pc.if_else(plain, column, pa.scalar(None, pa.string())), pa.float64())
    except pa.ArrowInvalid:
        return np.full(len(column), np.nan), np.ones(len(column), bool)
    values, odd = _numbers(numbers, nullable=False)
    if nullable:
        odd &= ~pc.is_in(column, pa.array(sorted(NULL_TEXTS))).to_numpy(zero_copy_only=False)
    return values, odd


def _codes(column: Any, name: str, encoder: RowEncoder) -> tuple[Values, Mask]:
    encoded = column.dictionary_encode(null_encoding="encode")
    codes = [_code(name, value, encoder) for value in encoded.dictionary.to_pylist()]
    known = np.array([np.nan if code is None else code for code in codes], np.float64)
    strange = np.array([code is None for code in codes], bool)
    indices = encoded.indices.to_numpy(zero_copy_only=False)
    return known[indices], strange[indices]


def _code(name: str, value: object, encoder: RowEncoder) -> float | None:
    try:
        return encoder.encode({name: value})[0]
    except InvalidRow:
        return None


def normalised(batch: Any, signature: Signature) -> Any:
    """Select the features of a typed batch, numbers as float64 and categories as text.

    Raises:
        ColumnWrongType: a column can hold no acceptable value.
    """
    features = [f for f in signature.features if f.name in batch.schema.names]
    columns = [_normalised(f, batch.column(f.name)) for f in features]
    schema = pa.schema([(f.name, c.type) for f, c in zip(features, columns, strict=True)])
    if not columns:  # every feature is nullable and absent
        return pa.RecordBatch.from_struct_array(pa.array([{}] * batch.num_rows, pa.struct([])))
    return pa.record_batch(columns, schema=schema)


def _normalised(feature: Feature, column: Any) -> Any:
    check_type(feature, column.type)
    if pa.types.is_dictionary(column.type):
        column = _decoded(feature, column)
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.string())  # Arrow's own conversion does not round to the nearest double
    return column.cast(pa.float64() if feature.kind == "numeric" else pa.string(), safe=False)


def _decoded(feature: Feature, column: Any) -> Any:
    """Give each row its own value. Texts, which may be long, are cut where it is plain that they are no category."""
    if feature.kind == "categorical" and not pa.types.is_null(column.type.value_type):
        enough = max(_QUOTED, *map(len, feature.categories)) + 1
        used, places = np.unique(column.indices.cast(pa.int64()).fill_null(-1), return_inverse=True)
        values = column.dictionary.take(pa.array(used, mask=used < 0)).cast(pa.string())
        return pc.utf8_slice_codeunits(values, 0, enough).take(pa.array(places))
    return column.dictionary_decode()


def check_type(feature: Feature, found: Any) -> None:
    """Check that a typed column can hold the feature. Raises ColumnWrongType."""
    values = found.value_type if pa.types.is_dictionary(found) else found
    types = pa.types
    number = types.is_integer(values) or types.is_floating(values) or types.is_decimal(values)
    text = types.is_string(values) or types.is_large_string(values) or types.is_string_view(values)
    if not (types.is_null(values) or (number if feature.kind == "numeric" else text)):
        raise ColumnWrongType(feature.name, "numbers" if feature.kind == "numeric" else "text", str(found))
