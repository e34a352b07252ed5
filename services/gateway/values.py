"""How values of columns that pass through are told in formats that have fewer types than Arrow."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from services.gateway.tables.block import sayable
from shared.chunks import JSON_TEXT


def is_json(field: Any) -> bool:
    return bool(field.metadata and JSON_TEXT.items() <= field.metadata.items())


def for_json(field: Any, column: Any) -> Sequence[Any]:
    """Return what msgspec encodes as the values were: numbers exactly, JSON as it was written, times as ISO 8601."""
    if is_json(field) or pa.types.is_decimal(field.type):
        texts = column.cast(pa.string()).to_pylist()
        return [None if text is None else msgspec.Raw(text.encode()) for text in texts]
    values: list[Any] = (_text(column) if pa.types.is_temporal(field.type) else column).to_pylist()
    return values


def for_csv(field: Any, column: Any) -> Any:
    """Return a column of text: floats as the shortest one that gives their bits back, null as an empty one."""
    texts = _text(_plain(column) if is_json(field) else column)
    if pa.types.is_string(field.type):
        special = pc.match_substring_regex(texts, '[",\r\n]')
        if pc.any(special).as_py():
            doubled = pc.replace_substring(texts, '"', '""')
            texts = pc.if_else(special, pc.binary_join_element_wise('"', doubled, '"', ""), texts)
    return pc.fill_null(texts, "")


def schema_for_columns(schema: Any) -> Any:
    """Return the schema that `for_columns` gives."""
    return pa.schema([pa.field(field.name, field.type, field.nullable) for field in schema])


def for_columns(batch: Any) -> Any:
    """Return a batch for formats that have types, but none for JSON: strings as such, the rest as JSON text."""
    columns = [_plain(c) if is_json(f) else c for f, c in zip(batch.schema, batch.columns, strict=True)]
    return pa.record_batch(columns, schema=schema_for_columns(batch.schema))


def _plain(column: Any) -> Any:
    """Take the quotes of JSON strings away."""
    return pa.array([_unquoted(text) if text and text[0] == '"' else text for text in column.to_pylist()], pa.string())


def _unquoted(text: str) -> str:
    try:
        return msgspec.json.decode(text, type=str)
    except msgspec.DecodeError:  # it spells a lone surrogate, which UTF-8 cannot say
        return sayable(json.loads(text))


def _text(column: Any) -> Any:
    if pa.types.is_timestamp(column.type):
        zone = "" if column.type.tz is None else "Z"
        written = column.cast(pa.timestamp(column.type.unit)).cast(pa.string())
        return pc.binary_join_element_wise(
            pc.replace_substring_regex(written, r"^(\d{4}-\d\d-\d\d) ", r"\1T"), zone, ""
        )
    if pa.types.is_floating(column.type):
        return _float_text(column.cast(pa.float64()))
    return column.cast(pa.string())


def _float_text(column: Any) -> Any:
    texts = column.cast(pa.string())
    if not pc.any(pc.equal(column, pc.floor(column))).as_py():
        return texts
    whole = pc.match_substring_regex(texts, "^-?[0-9]+$")  # Arrow leaves the point out
    return pc.if_else(whole, pc.binary_join_element_wise(texts, ".0", ""), texts)
