"""What a report shows, as plain values: who draws it needs to know nothing of Redis, the store or a profile."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from services.monitor.alerts import AlertState
from services.monitor.stats import Latency

State = Literal["drifted", "suspect", "clear"]


@dataclass(frozen=True)
class Histogram:
    """Shares of all rows, nulls included, in bins of one width."""

    low: float
    high: float
    reference: tuple[float, ...]
    current: tuple[float, ...]
    reference_mean: float | None
    current_mean: float | None


@dataclass(frozen=True)
class Bar:
    """Shares of all rows: of a category, or of what lies beside the histogram."""

    name: str
    reference: float
    current: float
    note: str = ""
    """What else there is to say of the current rows."""


@dataclass(frozen=True)
class Column:
    """A feature or the prediction."""

    name: str
    state: State
    rows: int
    effect: float | None
    """How far it is from the reference: what columns are ordered by."""
    facts: tuple[tuple[str, str], ...]
    """Name and value, to be printed beside the picture."""
    histogram: Histogram | None = None
    """Of a number whose reference has values."""
    categories: tuple[Bar, ...] = ()
    asides: tuple[Bar, ...] = ()
    """Below and above the reference's range, unknown categories, nulls: those that there are."""


@dataclass(frozen=True)
class Comparison:
    """The champion's rows against its reference."""

    since: datetime
    until: datetime
    rows: int
    columns: tuple[Column, ...]
    """The features, that with the largest effect first."""
    prediction: Column


@dataclass(frozen=True)
class ModeHistory:
    """What one mode did in each step of a timeline; None where nothing was predicted."""

    mode: str
    rows: int
    throughput: tuple[float, ...]
    """Predictions per second."""
    latency: tuple[Latency, ...]


@dataclass(frozen=True)
class DriftHistory:
    """How far columns were from the reference in each step, as a share of what it takes to matter.

    None where there were too few rows.
    """

    columns: tuple[tuple[str, tuple[float | None, ...]], ...]
    """Names, which a feature may share with the prediction, and values; the prediction first."""


@dataclass(frozen=True)
class History:
    starts: tuple[datetime, ...]
    """Of the steps, the oldest first."""
    until: datetime
    modes: tuple[ModeHistory, ...]
    drift: DriftHistory | None
    """Of the champion; None without one."""

    @property
    def over_night(self) -> bool:
        """Whether a time of the day alone would not say which day it was."""
        return self.starts[0].date() != self.until.date()


@dataclass(frozen=True)
class AlertLine:
    state: AlertState
    rule: str
    subject: str
    reason: str
    since: datetime
    resolved_at: datetime | None = None


class Banded(Protocol):
    """A figure with its confidence interval, where there are rows enough for one."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


class Scores(Protocol):
    """Of predictions whose actual value is known, in the target's unit."""

    @property
    def n(self) -> int: ...
    @property
    def rmse(self) -> Banded | None: ...
    @property
    def mae(self) -> Banded | None: ...
    @property
    def r2(self) -> Banded | None: ...
    @property
    def bias(self) -> Banded | None: ...


@dataclass(frozen=True)
class VersionQuality:
    version: str
    training: Mapping[str, float]
    """rmse, mae and r2 on the test rows of its training."""
    scores: Mapping[str, Scores]
    """By window, the shortest first."""
    estimated_mae: Banded | None = None
    """What the features suggest, without knowing what really happened."""


@dataclass(frozen=True)
class Quality:
    versions: Sequence[VersionQuality]
    """The champion first."""
    feedback: Mapping[str, int]
    """Values by what became of them; without those of which there are none."""


@dataclass(frozen=True)
class Condition:
    """The health of the monitor."""

    status: Literal["healthy", "degraded", "warning"]
    warnings: Sequence[str]


@dataclass(frozen=True)
class Report:
    model: str
    version: str | None
    """The champion."""
    at: datetime
    asked: str | None
    """The window, as the reader wrote it."""
    condition: Condition
    target: str | None
    unit: str
    total: int
    """Predictions since ever."""
    dropped: int
    """Predictions answered that no figure contains."""
    comparison: Comparison | None
    history: History
    alerts: Sequence[AlertLine]
    quality: Quality
