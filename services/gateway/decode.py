"""The quick way from a body to the engine's row, for rows with which nothing is wrong.

What it does not take goes to `rows`, which decides, and can say what is wrong. Where it does take a row, `rows` would
give the same one, and the same warnings.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec

from shared.signature import MAX_MAGNITUDE, Feature, RowWarning, Signature, unusual

MAX_FEATURES = 500
"""Of a signature. msgspec looks for a member where the signature has it, then from first to last; `rows` in a table."""


class Read(NamedTuple):
    row: Sequence[float]
    """One float64 per feature."""
    warnings: Sequence[RowWarning]


_Decode = Callable[[bytes], msgspec.Struct]


class RowDecoder:
    """Built once per signature."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._codes = _codes_by_place(signature)
        self._nullable = [i for i, f in enumerate(signature.features) if f.kind == "numeric" and f.nullable]
        self._as_it_is = not self._codes and not self._nullable
        decoders: list[_Decode] = [
            msgspec.json.Decoder(_row_type(signature, ranges)).decode
            for ranges in (True, False)
            if len(signature.features) <= MAX_FEATURES and names_are_plain(signature)
        ]
        self._within: _Decode
        self._anywhere: _Decode
        self._within, self._anywhere = decoders or (_nothing, _nothing)

    def decode(self, body: bytes) -> Read | None:
        """Return the row; None if it needs a closer look, which may well find it good."""
        try:
            return Read(self._row(self._within(body)), ())
        except _REFUSALS:
            pass
        try:
            row = self._row(self._anywhere(body))
        except _REFUSALS:
            return None
        return Read(row, unusual(self._signature, row))

    def _row(self, read: msgspec.Struct) -> Sequence[float]:
        """Raises KeyError."""
        values: tuple[Any, ...] = msgspec.structs.astuple(read)
        if self._as_it_is:
            return values
        row = list(values)
        for place in self._nullable:
            if row[place] is None:
                row[place] = math.nan
        for place, codes in self._codes:
            row[place] = codes[row[place]]
        return row


_REFUSALS = (ValueError, KeyError)
"""Not only msgspec's: a name in bad UTF-8, a category that is not known."""


def _nothing(body: bytes) -> msgspec.Struct:
    raise ValueError


def _row_type(signature: Signature, ranges: bool) -> type[msgspec.Struct]:
    """Return what msgspec reads strictly: any number is of a size that the engine takes.

    Args:
        ranges: it also lies within what training saw.
    """
    places = {f"f{place}": feature for place, feature in enumerate(signature.features)}  # a name may be any text
    fields = [(place, *_type_and_default(feature, ranges)) for place, feature in places.items()]
    names = {place: feature.name for place, feature in places.items()}
    return msgspec.defstruct("Row", fields, rename=names, forbid_unknown_fields=True, kw_only=True, gc=False)


def _type_and_default(feature: Feature, ranges: bool) -> tuple[Any, Any]:
    kind = _type(feature, ranges)
    return (kind | None, None) if feature.nullable else (kind, msgspec.NODEFAULT)


def _type(feature: Feature, ranges: bool) -> Any:
    if feature.kind == "categorical":
        return str
    low, high = -MAX_MAGNITUDE, MAX_MAGNITUDE
    if ranges and feature.minimum is not None and feature.maximum is not None:
        low, high = max(low, feature.minimum), min(high, feature.maximum)
    return Annotated[float, msgspec.Meta(ge=low, le=high)]


def _codes_by_place(signature: Signature) -> Sequence[tuple[int, Mapping[str | None, float]]]:
    """Return the codes of each categorical feature; null has one where it may be null."""
    return [
        (place, {category: float(code) for code, category in enumerate(f.categories)} | {None: math.nan})
        for place, f in enumerate(signature.features)
        if f.kind == "categorical"
    ]


def names_are_plain(signature: Signature) -> bool:
    """Whether each name stands in JSON as it is. One that is written with escapes cannot be looked for in a body."""
    return not any(c < " " or c in '"\\' or "\ud800" <= c <= "\udfff" for name in signature.names for c in name)
