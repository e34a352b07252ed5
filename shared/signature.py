"""The signature: what a version expects of a row, and the one place where a row becomes numbers.

Every path (single, batch, jobs, golden rows) hands the engine the same thing: one float64 per feature in the
signature's order. A number is its value, a category its position in `Feature.categories`, an unknown category -1, a
null NaN.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

UNKNOWN_CATEGORY = -1.0
MAX_MAGNITUDE = 1e30
"""Larger numbers are refused: scaled and cast to float32, as scikit-learn's trees do, they could overflow."""

NULL_TEXTS = frozenset({"", "NA", "N/A", "null", "NULL", "#N/A"})
"""What means null in formats that hold only text (CSV), when data is loaded for training and when it is scored."""

Code = Literal[
    "missing",
    "null",
    "not_a_number",
    "not_finite",
    "unknown_category",
    "wrong_type",
    "malformed",
    "poison",
    "unknown_field",
]
Link = Literal["identity", "expit", "softmax", "exp"]


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field of a row. `field` is "" when it is the row as a whole."""

    field: str
    code: Code
    detail: str


class InvalidRow(ValueError):
    """A row does not fit the signature; `errors` has one entry per bad field, in the signature's order."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__()
        self.errors = tuple(errors)

    def __str__(self) -> str:
        return "; ".join(f"{e.field or 'row'}: {e.detail}" for e in self.errors)


class Feature(BaseModel):
    """One column that the model reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Literal["numeric", "categorical"]
    nullable: bool
    minimum: float | None = None
    """Smallest and largest training value of a number; outside is a warning, not an error."""
    maximum: float | None = None
    categories: tuple[str, ...] = ()
    """Known values of a category; its code is the position."""
    accepts_unknown: bool = True
    example: float | str | None = None

    @model_validator(mode="after")
    def _categories_belong_to_categorical(self) -> "Feature":
        if bool(self.categories) != (self.kind == "categorical"):
            raise ValueError(f"feature {self.name}: exactly the categorical features have categories")
        return self


class Target(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    unit: str = ""


class Signature(BaseModel):
    """The features, in the engine's column order, and the target that a version expects."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    task: Literal["regression"] = "regression"
    target: Target
    link: Link = "identity"
    features: tuple[Feature, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features)

    def example(self) -> dict[str, float | str | None]:
        """Return a row that the model accepts."""
        return {feature.name: feature.example for feature in self.features}

    def decode(self, row: Sequence[float]) -> dict[str, float | str | None]:
        """Return the encoded row as a mapping of what it meant; an unknown category comes back as None."""
        return {f.name: _decoded(f, value) for f, value in zip(self.features, row, strict=True)}


def _decoded(feature: Feature, value: float) -> float | str | None:
    if math.isnan(value):
        return None
    if feature.kind == "numeric":
        return value
    return feature.categories[int(value)] if value >= 0 else None


class BadValue(Exception):
    """A value is not what its field holds."""

    def __init__(self, code: Code, detail: str) -> None:
        self.code: Code = code
        self.detail = detail


Decode = Callable[[object], float]


def number_of(value: object) -> float:
    """Return a JSON number. Raises BadValue: it is none, not finite, or too large."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadValue("wrong_type", f"expected a number, got {described(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not abs(number) <= MAX_MAGNITUDE:  # NaN compares false
        raise BadValue(
            "not_finite", f"expected a finite number up to {MAX_MAGNITUDE:g} in size, got {described(value)}"
        )
    return number


def number_of_text(value: object) -> float:
    """Return the number that a text spells. Raises BadValue."""
    text = str(value)  # which it is already
    try:
        if "_" in text:  # 1_000 is a number to Python, and none where models are trained
            raise ValueError
        number = float(text)
    except ValueError:
        raise BadValue("not_a_number", f"expected a number, got {described(value)}") from None
    return number_of(number)


def _category(feature: Feature) -> Decode:
    codes = {category: float(code) for code, category in enumerate(feature.categories)}

    def decode(value: object) -> float:
        if not isinstance(value, str):
            raise BadValue("wrong_type", f"expected text, got {described(value)}")
        code = codes.get(value, UNKNOWN_CATEGORY)
        if code < 0 and not feature.accepts_unknown:
            raise BadValue("unknown_category", f"{value[:50]!r} is not one of the {len(codes)} known categories")
        return code

    return decode


_to_json = json.JSONEncoder(ensure_ascii=False, default=repr).encode


def described(value: object) -> str:
    """Return a value as JSON writes it, shortened."""
    try:
        shown = _to_json(value[:51] if isinstance(value, str) else value)
    except RecursionError:  # nested so deeply that it could just be read
        return "a deeply nested value"
    return shown if len(shown) <= 50 else shown[:47] + "…"


class RowEncoder:
    """Turns mappings into engine rows. Built once per signature; safe to share between threads.

    Args:
        signature: of the version that will score the rows.
        text: values are text (CSV): numbers are parsed, and `NULL_TEXTS` are null.
        ignore_extra: unknown fields are ignored instead of refused.
    """

    def __init__(self, signature: Signature, *, text: bool = False, ignore_extra: bool = False) -> None:
        self.signature = signature
        self._text = text
        self._ignore_extra = ignore_extra
        number = number_of_text if text else number_of
        self._fields: list[tuple[str, bool, Decode]] = [
            (f.name, f.nullable, number if f.kind == "numeric" else _category(f)) for f in signature.features
        ]
        self._known = frozenset(signature.names)

    def encode(self, row: Mapping[str, object]) -> list[float]:
        """Return one float64 per feature.

        Raises:
            InvalidRow: with every bad field.
        """
        values: list[float] = []
        errors: list[FieldError] = []
        for name, nullable, decode in self._fields:
            try:
                values.append(self._value(row, name, nullable, decode))
            except BadValue as bad:
                errors.append(FieldError(name, bad.code, bad.detail))
        if not self._ignore_extra and not self._known.issuperset(row):
            extra = [str(name) for name in row if name not in self._known]
            errors += [FieldError(name, "unknown_field", "the model has no such feature") for name in extra]
        if errors:
            raise InvalidRow(errors)
        return values

    def _value(self, row: Mapping[str, object], name: str, nullable: bool, decode: Decode) -> float:
        value = row.get(name)
        if value is None or (self._text and isinstance(value, str) and value.strip() in NULL_TEXTS):
            if nullable:
                return math.nan
            if name in row:
                raise BadValue("null", "must not be null: the model was trained without nulls here")
            raise BadValue("missing", "is required")
        return decode(value)


@dataclass(frozen=True, slots=True)
class RowWarning:
    """A value that the model has not seen in training; it is scored all the same."""

    field: str
    code: Literal["out_of_range", "unknown_category"]
    detail: str


def unusual(
    signature: Signature, row: Sequence[float], values: Mapping[str, object] = MappingProxyType({})
) -> list[RowWarning]:
    """Return a warning per value of an encoded row that lies outside what training saw.

    Args:
        values: what was encoded, where it is still known: an unknown category's text is not in the row.
    """
    warnings: list[RowWarning] = []
    for f, value in zip(signature.features, row, strict=True):
        if f.kind == "categorical":
            if value < 0:
                named = f"{described(values[f.name])} " if f.name in values else ""
                warnings.append(RowWarning(f.name, "unknown_category", f"{named}was not seen in training"))
        elif f.minimum is not None and f.maximum is not None and (value < f.minimum or value > f.maximum):
            detail = f"{value:g} is outside the training range {f.minimum:g} to {f.maximum:g}"
            warnings.append(RowWarning(f.name, "out_of_range", detail))
    return warnings
