"""Rows made from a signature: those that the model accepts, and those it must refuse."""

import json
import random
from collections.abc import Iterable

from shared.signature import Feature, Signature
from tasador.client.answers import Row

_NULLS = 0.05
"""Share of nulls where they are allowed."""


def some_rows(signature: Signature, count: int, broken: int, seed: int) -> list[Row]:
    """Return `count` rows, of which the last `broken` have one field that cannot be used."""
    chance = random.Random(seed)
    rows = [{feature.name: _value(feature, chance) for feature in signature.features} for _ in range(count)]
    for row in rows[count - broken :]:
        feature = chance.choice(signature.features)
        row[feature.name] = _nonsense(feature, chance)
    return rows


def ndjson(rows: Iterable[Row]) -> list[bytes]:
    """Return each row as a line."""
    return [json.dumps(row, allow_nan=False).encode() + b"\n" for row in rows]


def _value(feature: Feature, chance: random.Random) -> float | str | None:
    if feature.nullable and chance.random() < _NULLS:
        return None
    if feature.kind == "categorical":
        return chance.choice(feature.categories)
    return chance.uniform(feature.minimum or 0.0, feature.maximum if feature.maximum is not None else 1.0)


def _nonsense(feature: Feature, chance: random.Random) -> float | str | None:
    if not feature.nullable and chance.random() < 0.5:
        return None
    return "no number" if feature.kind == "numeric" else 0.5
