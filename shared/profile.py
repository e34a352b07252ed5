"""The profile: binned reference distributions, and summaries of live data in the same bins.

A summary is a flat mapping of counter names to integers. Merging is addition, key by key, in any order and with any
grouping, so windows, replicas and restarts are exact; Redis can do it (HINCRBY).
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, computed_field

from shared.signature import Signature

QUANTILES = 50
"""Bins inside the reference's range hold about 1/50 of it each: what a distribution function of counts is off by."""
PREDICTION = "prediction"

_SCALE = 1 << 20  # fixed point of a sum of standardised values
_SQUARE_SCALE = 1 << 16
_MAX_STANDARDISED = 1000.0  # values farther out count as this far: the squares of 1e8 of them still fit 64 bits
_TRANSPOSED_ROWS = 2048  # at once: what is read and what is written stay in the cache
_FEW = 1000  # values, from which on a comparison with each edge is faster than to look for the bin of each value


class ColumnProfile(BaseModel):
    """Reference distribution of one feature or of the prediction.

    Bin i of a number holds `edges[i-1] < x <= edges[i]`, the first and last bin being open. A value that is more than
    a bin's share of the reference has a bin of its own. Bin i of a category is its code; the last bin counts unknown
    ones.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")  # `null_rate` is written for readers, and computed here

    name: str
    kind: Literal["numeric", "categorical"]
    edges: tuple[float, ...] = ()
    outside: bool = False
    """Whether the first and the last bin hold what lies below and above every value of the reference. Profiles of the
    first schema, with ten bins, have none for that."""
    counts: tuple[int, ...]
    nulls: int
    n: int
    """All values, nulls included."""
    mean: float | None
    """Of the values that are not null; None for categories."""
    std: float | None
    """Sample standard deviation (n - 1)."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def null_rate(self) -> float | None:
        return self.nulls / self.n if self.n else None

    def counts_of(self, values: NDArray[np.float64]) -> list[int]:
        """Return how many values, none of them null, are in each bin."""
        if self.kind == "numeric" and len(values) > _FEW:
            above = [len(values), *(int(np.count_nonzero(values > edge)) for edge in self.edges), 0]
            return [more - less for more, less in pairwise(above)]
        if self.kind == "numeric":
            codes = np.searchsorted(self.edges, values, side="left")
        else:
            codes = np.where(values < 0, len(self.counts) - 1, values).astype(np.int64)
        counted: list[int] = np.bincount(codes).tolist()
        return counted

    def standardised(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (x - mean) / std, limited to ±1000."""
        z = values - (self.mean or 0.0)
        z /= self.std or 1.0
        return np.clip(z, -_MAX_STANDARDISED, _MAX_STANDARDISED, out=z)


class Profile(BaseModel):
    """The reference of one version: every feature over all rows of the data, the prediction over out-of-fold ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1, 2] = 2
    features: tuple[ColumnProfile, ...]
    prediction: ColumnProfile

    @property
    def columns(self) -> tuple[ColumnProfile, ...]:
        return (*self.features, self.prediction)


def build_profile(signature: Signature, x: NDArray[np.float64], predictions: NDArray[np.float64]) -> Profile:
    """Build the reference from encoded rows, shape (n, F), and out-of-fold predictions, shape (m,)."""
    features = [
        _numeric(f.name, x[:, i]) if f.kind == "numeric" else _categorical(f.name, x[:, i], len(f.categories))
        for i, f in enumerate(signature.features)
    ]
    return Profile(features=tuple(features), prediction=_numeric(PREDICTION, predictions))


def _numeric(name: str, column: NDArray[np.float64]) -> ColumnProfile:
    values = column[~np.isnan(column)]
    edges = _edges(values)
    counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
    return ColumnProfile(
        name=name,
        kind="numeric",
        edges=tuple(edges.tolist()),
        outside=len(edges) > 0,
        counts=tuple(counts.tolist()),
        nulls=len(column) - len(values),
        n=len(column),
        mean=float(values.mean()) if len(values) else None,
        std=_std(values),
    )


def _std(values: NDArray[np.float64]) -> float | None:
    if len(values) < 2:
        return None
    if values.min() == values.max():  # rounding would make it 1e-17 or so, and any other value infinitely far
        return 0.0
    return float(values.std(ddof=1))


def _edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges at the quantiles, at the maximum, and just below the minimum and below every value that repeats much."""
    if len(values) == 0:
        return np.empty(0)
    quantiles = np.quantile(values, np.arange(1, QUANTILES) / QUANTILES, method="inverted_cdf")
    distinct, times = np.unique(values, return_counts=True)
    repeated = distinct[times > len(values) / QUANTILES]
    alone = np.concatenate((repeated, distinct[:1]))
    edges: NDArray[np.float64] = np.unique(
        np.concatenate((quantiles, distinct[-1:], repeated, np.nextafter(alone, -np.inf)))
    )
    return edges


def _categorical(name: str, column: NDArray[np.float64], categories: int) -> ColumnProfile:
    values = column[~np.isnan(column)]
    codes = np.where(values < 0, categories, values).astype(np.int64)
    counts = np.bincount(codes, minlength=categories + 1)
    nulls = len(column) - len(values)
    return ColumnProfile(
        name=name,
        kind="categorical",
        counts=tuple(counts.tolist()),
        nulls=nulls,
        n=len(column),
        mean=None,
        std=None,
    )


Summary = dict[str, int]


def summarise(profile: Profile, x: NDArray[np.float64], predictions: NDArray[np.float64]) -> Summary:
    """Count encoded rows, shape (n, F), and their predictions, shape (n,), in the profile's bins.

    Counters: `n`; per column c (feature position, or `p` for the prediction) `c:<bin>` and `c:null`; of a number in
    fixed point `c:s1` and `c:s2`, sum and sum of squares of standardised values, and `c:sl` and `c:sh`, the sums of
    those that lie below and above the reference's range. Zeros are left out.
    """
    summary: Summary = {"n": len(x)}
    columns = _transposed(x)  # in one piece each, which every pass below is faster for
    for i, column in enumerate(profile.features):
        _count(summary, str(i), column, columns[i])
    _count(summary, "p", profile.prediction, predictions)
    return summary


def _transposed(x: NDArray[np.float64]) -> NDArray[np.float64]:
    columns = np.empty(x.shape[::-1])
    for start in range(0, len(x), _TRANSPOSED_ROWS):
        columns[:, start : start + _TRANSPOSED_ROWS] = x[start : start + _TRANSPOSED_ROWS].T
    return columns


def _count(summary: Summary, prefix: str, column: ColumnProfile, values: NDArray[np.float64]) -> None:
    nulls = np.isnan(values)
    present = values[~nulls] if nulls.any() else values
    for index, count in enumerate(column.counts_of(present)):
        if count:
            summary[f"{prefix}:{index}"] = count
    if len(present) < len(values):
        summary[f"{prefix}:null"] = len(values) - len(present)
    if column.kind == "numeric":
        z = column.standardised(present)
        if column.outside:
            for name, is_outside in (("sl", present <= column.edges[0]), ("sh", present > column.edges[-1])):
                if is_outside.any():
                    summary[f"{prefix}:{name}"] = _fixed(z[is_outside], _SCALE)
        summary[f"{prefix}:s2"] = _fixed(z * z, _SQUARE_SCALE)
        summary[f"{prefix}:s1"] = _fixed(z, _SCALE)


def _fixed(values: NDArray[np.float64], scale: int) -> int:
    """Return the sum of values in fixed point. They are overwritten: memory for each step costs more than the step."""
    values *= scale
    return int(np.rint(values, out=values).astype(np.int64).sum())


def merge(summaries: Iterable[Mapping[str, int]]) -> Summary:
    """Add summaries key by key."""
    total: Summary = {}
    for summary in summaries:
        for key, count in summary.items():
            total[key] = total.get(key, 0) + count
    return total


def column_counts(summary: Mapping[str, int], prefix: str, column: ColumnProfile) -> tuple[NDArray[np.int64], int]:
    """Return (counts per bin, nulls) of one column of a summary."""
    counts: Sequence[int] = [summary.get(f"{prefix}:{i}", 0) for i in range(len(column.counts))]
    return np.asarray(counts, np.int64), summary.get(f"{prefix}:null", 0)


def sums_outside(summary: Mapping[str, int], prefix: str) -> tuple[float, float]:
    """Return the sums of a numeric column's standardised values below and above the reference's range."""
    return summary.get(f"{prefix}:sl", 0) / _SCALE, summary.get(f"{prefix}:sh", 0) / _SCALE


def counters(profile: Profile) -> list[str]:
    """Return the name of every counter that a summary may have, in an order that depends on nothing but the profile.

    Those of the prediction come first, so that what is not about features is one piece.
    """
    names = ["n"]
    columns = [("p", profile.prediction), *((str(i), column) for i, column in enumerate(profile.features))]
    for prefix, column in columns:
        names += [f"{prefix}:{end}" for end in (*range(len(column.counts)), "null")]
        names += [f"{prefix}:{end}" for end in ("s1", "s2", "sl", "sh")] if column.kind == "numeric" else []
    return names


def column_moments(summary: Mapping[str, int], prefix: str, column: ColumnProfile) -> tuple[float, float] | None:
    """Return (mean, standard deviation) of a numeric column of a summary, in its unit; None without values."""
    counts, _ = column_counts(summary, prefix, column)
    n = int(counts.sum())
    if column.kind != "numeric" or n == 0:
        return None
    mean = summary.get(f"{prefix}:s1", 0) / _SCALE / n
    square = summary.get(f"{prefix}:s2", 0) / _SQUARE_SCALE / n
    variance = max(0.0, square - mean * mean) * (n / (n - 1) if n > 1 else 0.0)
    scale = column.std or 1.0
    return (column.mean or 0.0) + mean * scale, float(np.sqrt(variance)) * scale
