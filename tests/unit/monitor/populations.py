"""Random references and windows of one number: shapes, ties, sizes and shifts as they come."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.profile import ColumnProfile, Profile, Summary, build_profile, summarise
from shared.signature import Feature, Signature, Target

CASES = 1_000

Values = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Values]

SHAPES: dict[str, Draw] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "uniform": lambda rng, n: rng.random(n),
    "exponential": lambda rng, n: rng.exponential(size=n),
    "log-normal": lambda rng, n: rng.lognormal(0, 1.5, n),
    "heavy tails": lambda rng, n: rng.standard_t(2, n),
    "rounded": lambda rng, n: np.round(rng.normal(size=n), 1),
    "counts": lambda rng, n: rng.poisson(3, n).astype(float),
    "two values": lambda rng, n: (rng.random(n) < 0.3).astype(float),
    "mostly zero": lambda rng, n: np.where(rng.random(n) < 0.7, 0.0, rng.exponential(size=n)),
    "two hills": lambda rng, n: rng.normal(size=n) + 6 * (rng.random(n) < 0.4),
    "constant": lambda rng, n: np.full(n, 3.0),
}


@dataclass(frozen=True)
class Case:
    name: str
    reference: Values
    live: Values


def a_case(number: int) -> Case:
    """Return one of `CASES`, the same each time."""
    rng = np.random.default_rng(number)
    name = list(SHAPES)[number % len(SHAPES)]
    m, n = (int(np.exp(rng.uniform(0, np.log(3_000)))) for _ in range(2))
    scale, moved = rng.choice([1.0, 1.0, 0.5, 2.0]), rng.choice([0.0, 0.0, 0.2, 1.0, -3.0, 30.0])
    unit, origin = 10.0 ** rng.integers(-3, 4), rng.choice([0.0, 100.0])
    reference, live = (SHAPES[name](rng, size) for size in (max(2, m), n))
    return Case(f"{number} {name}", unit * (reference + origin), unit * (live * scale + moved + origin))


def counted(case: Case) -> tuple[ColumnProfile, str, Summary]:
    """Return what `compare` takes."""
    column = column_of(case.reference)
    return column, "0", summarise(_profile(case.reference), case.live[:, None], np.zeros(len(case.live)))


def column_of(values: Values) -> ColumnProfile:
    return _profile(values).features[0]


def _profile(values: Values) -> Profile:
    signature = Signature(
        target=Target(name="y"), features=(Feature(name="x", kind="numeric", nullable=True, example=1.0),)
    )
    return build_profile(signature, values[:, None], np.zeros(1))
