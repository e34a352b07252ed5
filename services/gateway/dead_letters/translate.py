"""Rows that were encoded for one version, encoded for another. Pure."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.gateway.tables import Block
from services.gateway.tables.block import nothing
from shared.signature import Feature, FieldError, InvalidRow, RowEncoder, Signature

_ENCODING = ("name", "kind", "nullable", "categories", "accepts_unknown")
"""What decides a feature's numbers and errors; ranges and examples do not."""


def translate(
    x: NDArray[np.float64], errors: Sequence[tuple[int, FieldError]], old: Signature, new: Signature
) -> Block:
    """Return rows, shape (n, F), as the new signature encodes them; what does not fit it is an error of its row.

    The text of a category that the old signature did not know was never kept. Where the new one needs it the row is an
    error: to guess would be to predict for another row.
    """
    if encode_alike(old, new):
        return Block(x, errors)
    encoder = RowEncoder(new, ignore_extra=True)
    found = nothing(len(x), len(new.features))
    bad = dict(errors)
    for row, values in enumerate(x.tolist()):
        if row not in bad:
            try:
                found[row] = encoder.encode(_known(values, old, new))
            except InvalidRow as invalid:
                bad[row] = invalid.errors[0]
    return Block(found, sorted(bad.items(), key=lambda item: item[0]))


def encode_alike(old: Signature, new: Signature) -> bool:
    """Whether both make the same numbers, and the same errors, of every row."""
    return [_encoding(feature) for feature in old.features] == [_encoding(feature) for feature in new.features]


def _encoding(feature: Feature) -> list[object]:
    return [getattr(feature, name) for name in _ENCODING]


def _known(values: Sequence[float], old: Signature, new: Signature) -> dict[str, float | str | None]:
    """Raises InvalidRow."""
    lost = [
        FieldError(feature.name, "unknown_category", "its text was not kept: the version before did not know it")
        for feature, value in zip(old.features, values, strict=True)
        if feature.kind == "categorical" and value < 0 and feature.name in new.names
    ]
    if lost:
        raise InvalidRow(lost)
    return old.decode(values)
