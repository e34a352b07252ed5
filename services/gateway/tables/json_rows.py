"""JSON objects to engine rows: each is decoded straight into the fields that the model reads."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.gateway.tables.block import MAX_IGNORED, Block, ColumnsMissing, NotATable, listable, nameable, nothing
from services.gateway.tables.json_carried import JsonCarrier
from services.gateway.tables.json_text import UNREADABLE, parse
from services.gateway.tables.passthrough import check_found
from shared.signature import MAX_MAGNITUDE, UNKNOWN_CATEGORY, Feature, FieldError, InvalidRow, RowEncoder, Signature

_GARBAGE_ROWS = 1000  # so many rows without one JSON object among them are no table

Decode = Callable[[bytes], msgspec.Struct]


class JsonRows:
    """Encodes rows that come as JSON texts, and remembers which columns occurred.

    A text is decoded into a struct with one typed field per feature. Names that the model does not know join the struct
    when they first occur, as values to skip. A text that does not fit the struct is decoded again as any JSON.

    Args:
        by_rows: decode everything as any JSON: slow, and what the fast way must agree with.
    """

    def __init__(self, signature: Signature, passthrough: Sequence[str] = (), *, by_rows: bool = False) -> None:
        self._features = signature.features
        self._carrier = JsonCarrier(passthrough)
        self._row = RowEncoder(signature, ignore_extra=True)
        self._by_rows = by_rows or not all(map(nameable, signature.names))
        self._extra: dict[str, None] = {}
        self._decode = self._decoder()
        self._required = frozenset(f.name for f in self._features if not f.nullable)
        self._present: set[str] = set()
        self._objects = 0
        self._malformed: list[NotATable] = []
        self._strict = [i for i, f in enumerate(self._features) if f.categories and not f.accepts_unknown]

    @property
    def ignored_columns(self) -> list[str]:
        return [listable(name) for name in self._extra if name not in self._carrier.names]

    def encode(self, texts: Sequence[bytes], line_of: Callable[[int], int]) -> Block:
        """Encode a block of rows.

        Args:
            line_of: maps a position in `texts` to its line in the body, for messages.

        Raises:
            NotATable: so far nothing was a JSON object.
        """
        x = nothing(len(texts), len(self._features))
        errors: list[tuple[int, FieldError]] = []
        plain: list[int] = []
        rows: list[tuple[Any, ...]] = []
        for index, text in enumerate(texts):
            try:
                rows.append(self._typed(text))
                plain.append(index)
            except UNREADABLE:
                self._encode_text(index, text, line_of(index), x, errors)
        if rows:
            self._objects += len(rows)
            self._present |= self._required
            x[plain] = _matrix(rows, self._features)
            for index in self._suspicious(x):
                self._encode_text(index, texts[index], line_of(index), x, errors)
        if not self._objects and len(self._malformed) >= _GARBAGE_ROWS:
            raise self._malformed[0]
        filled = np.flatnonzero(~np.isnan(x).all(axis=0)).tolist()
        self._present |= {self._features[position].name for position in filled}
        malformed = (row for row, error in errors if error.code == "malformed")
        return Block(x, sorted(errors, key=lambda error: error[0]), self._carrier.of_texts(texts, malformed))

    def encode_objects(self, values: Sequence[object]) -> Block:
        """Encode rows that are decoded already."""
        x = nothing(len(values), len(self._features))
        errors: list[tuple[int, FieldError]] = []
        for index, value in enumerate(values):
            self._encode_value(index, value, x, errors)
        return Block(x, errors, self._carrier.of_objects(values))

    def finish(self) -> None:
        """Check what only all rows together can tell.

        Raises:
            NotATable: no row is JSON at all.
            ColumnsMissing: a column that is required is in no row.
            PassthroughRefused: a column that is to pass through is in no row.
        """
        if not self._objects:
            if self._malformed:
                raise self._malformed[0]
            return
        missing = [f.name for f in self._features if f.name in self._required - self._present]
        present = [f.name for f in self._features if f.name in self._present]
        if missing:
            raise ColumnsMissing(missing, present + self.ignored_columns)
        carried = [name for name in self._carrier.names if name in self._carrier.found]
        check_found(self._carrier.names, list(dict.fromkeys([*present, *carried, *self.ignored_columns])))

    def _typed(self, text: bytes) -> tuple[Any, ...]:
        if not text.isascii():
            text.decode()  # the decoder does not look into what it skips
        return msgspec.structs.astuple(self._decode(text))[: len(self._features)]

    def _suspicious(self, x: NDArray[np.float64]) -> list[int]:
        found = (np.abs(x) > MAX_MAGNITUDE).any(axis=1) | (x[:, self._strict] < 0).any(axis=1)
        return [int(row) for row in np.flatnonzero(found)]

    def _encode_text(
        self, index: int, text: bytes, line: int, x: NDArray[np.float64], errors: list[tuple[int, FieldError]]
    ) -> None:
        try:
            value = parse(text)
        except NotATable as unreadable:
            detail = str(unreadable).split(": ", 1)[-1]
            located = NotATable(detail, line + (unreadable.line or 1) - 1, unreadable.column)
            if not self._objects:
                self._malformed.append(located)
            errors.append((index, FieldError("", "malformed", str(located))))
        else:
            self._encode_value(index, value, x, errors)

    def _encode_value(
        self, index: int, value: object, x: NDArray[np.float64], errors: list[tuple[int, FieldError]]
    ) -> None:
        x[index] = np.nan
        self._objects += 1
        try:
            if not isinstance(value, dict):
                raise InvalidRow([FieldError("", "malformed", f"expected an object, got {_kind(value)}")])
            self._note(value)
            x[index] = self._row.encode(value)
        except InvalidRow as invalid:
            errors.append((index, invalid.errors[0]))

    def _note(self, row: dict[str, object]) -> None:
        self._present |= row.keys() & self._required
        new = [name for name in row if name not in self._extra and name not in self._row.signature.names]
        if new and len(self._extra) < MAX_IGNORED:
            self._extra |= dict.fromkeys(new[: MAX_IGNORED - len(self._extra)])
            self._decode = self._decoder()

    def _decoder(self) -> Decode:
        return _decode_any if self._by_rows else _decoder(self._features, tuple(self._extra))


def _decode_any(_: bytes) -> msgspec.Struct:
    raise msgspec.DecodeError


def _decoder(features: Sequence[Feature], extra: Sequence[str]) -> Decode:
    """Return a decoder into a struct whose first fields are the features, in order."""
    rename: dict[str, str] = {}
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for position, feature in enumerate(features):
        rename[f"feature_{position}"] = feature.name
        kind: Any = str if feature.categories else float
        fields.append((f"feature_{position}", kind | None, None) if feature.nullable else (f"feature_{position}", kind))
    for position, name in enumerate(extra):
        if nameable(name):  # rows with others take the slow way
            rename[f"extra_{position}"] = name
            fields.append((f"extra_{position}", msgspec.Raw, b""))
    struct = msgspec.defstruct(
        "Row", fields, kw_only=True, rename=rename, gc=False, forbid_unknown_fields=len(extra) < MAX_IGNORED
    )
    return msgspec.json.Decoder(struct).decode


def _matrix(rows: Sequence[tuple[Any, ...]], features: Sequence[Feature]) -> NDArray[np.float64]:
    if not any(feature.categories for feature in features):
        return np.array(rows, np.float64)  # None becomes NaN
    columns = [_column(f, column) for f, column in zip(features, zip(*rows, strict=True), strict=True)]
    return np.stack(columns, axis=1)


def _column(feature: Feature, values: Sequence[Any]) -> NDArray[np.float64]:
    if not feature.categories:
        return np.array(values, np.float64)
    codes: dict[str | None, float] = {None: math.nan}
    codes |= {category: float(code) for code, category in enumerate(feature.categories)}
    return np.array([codes.get(value, UNKNOWN_CATEGORY) for value in values])


def _kind(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
