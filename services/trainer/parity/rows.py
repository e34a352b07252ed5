"""Rows that no table has: drawn around the data, and one for every category, unknown and null."""

import numpy as np

from services.trainer.export import Exported
from services.trainer.parity.acceptance import Acceptance
from services.trainer.parity.reference import Matrix
from shared.signature import UNKNOWN_CATEGORY

NULLS, UNKNOWNS, OTHER_CATEGORIES = 0.08, 0.05, 0.2  # shares of the cells
NOISE = (0.0, 0.02, 1.0)  # standard deviations of the column: the value itself, near it, anywhere


def draw_rows(data: Matrix, exported: Exported, accepted: Acceptance, rng: np.random.Generator, count: int) -> Matrix:
    """Return `count` rows of the data with noise on each cell."""
    rows = data[rng.integers(len(data), size=count)]
    spread = np.ma.masked_invalid(data).std(axis=0).filled(0.0)
    for index, name in enumerate(exported.inputs):
        if name in exported.categories:
            other = rng.integers(len(exported.categories[name]), size=count)
            rows[:, index] = np.where(rng.random(count) < OTHER_CATEGORIES, other, rows[:, index])
        else:
            rows[:, index] += rng.choice(NOISE, size=count) * spread[index] * rng.standard_normal(count)
        if name in accepted.unknowns:
            rows[rng.random(count) < UNKNOWNS, index] = UNKNOWN_CATEGORY
        if name in accepted.nulls:
            rows[rng.random(count) < NULLS, index] = np.nan
    return rows


def special_rows(data: Matrix, exported: Exported, accepted: Acceptance) -> Matrix:
    """Return rows of the data that hold, between them, every category, and unknown and null where they may be."""
    specials = [_specials(name, exported, accepted) for name in exported.inputs]
    rows = [cycle(data, max(1, *map(len, specials)))]
    for index, values in enumerate(specials):
        if values:
            rows[0][:, index] = np.resize(values, len(rows[0]))
            rows.append(_alone(data, index, values[-1]))
    return np.concatenate(rows)


def cycle(data: Matrix, count: int) -> Matrix:
    """Return a new matrix of `count` rows: the data over and over."""
    return data[np.arange(count) % len(data)]


def _specials(name: str, exported: Exported, accepted: Acceptance) -> list[float]:
    codes = [float(code) for code in range(len(exported.categories.get(name, ())))]
    unknown = [UNKNOWN_CATEGORY] if name in accepted.unknowns else []
    null = [np.nan] if name in accepted.nulls else []
    return codes + unknown + null


def _alone(data: Matrix, index: int, value: float) -> Matrix:
    """The rarest value in one column, beside what other columns usually hold."""
    rows = cycle(data, min(len(data), 20))
    rows[:, index] = value
    return rows
