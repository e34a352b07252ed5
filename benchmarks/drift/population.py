"""A population that is known: features that go together, skewed ones, ties, categories and nulls, and a prediction.

References and windows are both drawn from it, so that the noise of the reference counts as it does in life.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.signature import Feature, Signature, Target

Rows = NDArray[np.float64]

NORMAL, SKEWED, COUNT, CATEGORY, MOSTLY_ZERO = range(5)
"""Kinds of features, in turns."""

SHIFTED = NORMAL
"""Position of the feature that moves."""

CATEGORIES = ("a", "b", "c", "d", "e", "f")
NULLS = {4: 0.05, 8: 0.1, 24: 0.05}
"""Share of nulls by position."""

_SHARES = np.array([0.4, 0.25, 0.15, 0.1, 0.07, 0.03])
_TOGETHER = 10  # features that have one cause in common
_LOADING = 0.7  # two of them correlate by its square


@dataclass(frozen=True)
class Drawn:
    x: Rows
    """Encoded, shape (n, F)."""
    predictions: Rows


def signature(features: int) -> Signature:
    return Signature(target=Target(name="y"), features=tuple(_feature(i) for i in range(features)))


def draw(rng: np.random.Generator, rows: int, features: int, shift: float = 0.0) -> Drawn:
    """Draw rows that are independent of each other.

    Args:
        shift: of the feature `SHIFTED`, in its standard deviations; the prediction follows.
    """
    causes = rng.normal(size=(rows, -(-features // _TOGETHER)))
    latent = rng.normal(size=(rows, features)) * np.sqrt(1 - _LOADING**2)
    latent += _LOADING * np.repeat(causes, _TOGETHER, axis=1)[:, :features]
    latent[:, SHIFTED] += shift
    predictions = latent[:, : min(5, features)].sum(axis=1) + rng.normal(size=rows)
    x = np.empty_like(latent)
    for i in range(features):
        x[:, i] = _value(latent[:, i], i % 5)
    for i, share in NULLS.items():
        if i < features:
            x[rng.random(rows) < share, i] = np.nan
    return Drawn(x, predictions)


def _value(latent: Rows, kind: int) -> Rows:
    if kind == SKEWED:
        return np.exp(latent)
    if kind == COUNT:
        return np.maximum(0.0, np.round(3 + 2 * latent))
    if kind == CATEGORY:
        return np.searchsorted(_BORDERS, latent).astype(np.float64)
    if kind == MOSTLY_ZERO:
        return np.maximum(0.0, latent - 0.5)
    return latent


def _borders() -> Rows:
    """Return where a normal value has to be cut so that categories have their shares."""
    draws = np.sort(np.random.default_rng(0).normal(size=1_000_001))
    borders: Rows = np.quantile(draws, np.cumsum(_SHARES)[:-1])
    return borders


_BORDERS = _borders()


def _feature(position: int) -> Feature:
    name, nullable = f"x{position}", position in NULLS
    if position % 5 == CATEGORY:
        return Feature(name=name, kind="categorical", nullable=nullable, categories=CATEGORIES, example="a")
    return Feature(name=name, kind="numeric", nullable=nullable, example=0.0)
